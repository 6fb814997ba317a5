import sys
from itertools import permutations

n, m, *rest = map(int, sys.stdin.read().split())
rules = [(a - 1, b - 1) for a, b in zip(rest[::2], rest[1::2])]
count = 0
for places in permutations(range(n)):
    if all(places[a] < places[b] for a, b in rules):
        count += 1
print(count)
