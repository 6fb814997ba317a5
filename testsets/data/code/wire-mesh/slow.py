# Tries every choice of wires.
import sys

n, m, *rest = map(int, sys.stdin.read().split())
wires = [tuple(rest[i:i + 3]) for i in range(0, 3 * m, 3)]
best = None
for chosen in range(1 << m):
    price, group = 0, list(range(n + 1))
    for i in range(m):
        if chosen >> i & 1:
            a, b, cost = wires[i]
            price += cost
            old, new = group[a], group[b]
            group = [new if one == old else one for one in group]
    if len(set(group[1:])) == 1 and (best is None or price < best):
        best = price
print("impossible" if best is None else best)
