# Gives every hut its cheapest wire, which need not join them all.
import sys

n, m, *rest = map(int, sys.stdin.read().split())
chosen = set()
for hut in range(1, n + 1):
    mine = [(rest[i + 2], i) for i in range(0, 3 * m, 3) if hut in rest[i:i + 2]]
    if mine:
        chosen.add(min(mine))
print(sum(price for price, _ in chosen) if chosen or n == 1 else "impossible")
