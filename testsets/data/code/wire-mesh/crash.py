# Starts from the cheapest wire, if there is one.
import sys

n, m, *rest = map(int, sys.stdin.read().split())
wires = sorted((rest[i + 2], rest[i], rest[i + 1]) for i in range(0, 3 * m, 3))
cheapest = wires[0]
group = list(range(n + 1))
total, joined = 0, 1
for price, a, b in wires:
    old, new = group[a], group[b]
    if old != new:
        group = [new if one == old else one for one in group]
        total += price
        joined += 1
print(total if joined == n else "impossible")
