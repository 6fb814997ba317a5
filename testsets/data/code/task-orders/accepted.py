import sys

n, m, *rest = map(int, sys.stdin.read().split())
needs = [0] * n
for a, b in zip(rest[::2], rest[1::2]):
    needs[b - 1] |= 1 << (a - 1)
orders = [0] * (1 << n)
orders[0] = 1
for done in range(1 << n):
    ways = orders[done]
    if ways:
        for task in range(n):
            if not done >> task & 1 and needs[task] & done == needs[task]:
                orders[done | 1 << task] += ways
print(orders[-1])
