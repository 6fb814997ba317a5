# A task that must wait for all others finds no first one when rules go round.
import sys

n, m, *rest = map(int, sys.stdin.read().split())
needs = {task: set() for task in range(1, n + 1)}
for a, b in zip(rest[::2], rest[1::2]):
    needs[b].add(a)
first = min(task for task in needs if not needs[task])
masks = [sum(1 << (a - 1) for a in needs[task]) for task in range(1, n + 1)]
orders = {0: 1}
for _ in range(n):
    following = {}
    for done, ways in orders.items():
        for task in range(n):
            if not done >> task & 1 and masks[task] & done == masks[task]:
                following[done | 1 << task] = following.get(done | 1 << task, 0) + ways
    orders = following
print(sum(orders.values()))
