import sys

n, m, *rest = map(int, sys.stdin.read().split())
wires = sorted((rest[i + 2], rest[i], rest[i + 1]) for i in range(0, 3 * m, 3))
leader = list(range(n + 1))


def find(hut):
    while leader[hut] != hut:
        leader[hut] = leader[leader[hut]]
        hut = leader[hut]
    return hut


total, joined = 0, 1
for price, a, b in wires:
    a, b = find(a), find(b)
    if a != b:
        leader[a] = b
        total += price
        joined += 1
print(total if joined == n else "impossible")
