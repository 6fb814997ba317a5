# Counts roads, not prices.
import sys
from collections import deque

n, m, *rest = map(int, sys.stdin.read().split())
roads = [[] for _ in range(n + 1)]
for i in range(m):
    a, b, price = rest[3 * i:3 * i + 3]
    roads[a].append((b, price))
    roads[b].append((a, price))
best = {1: 0}
queue = deque([1])
while queue:
    town = queue.popleft()
    for other, more in roads[town]:
        if other not in best:
            best[other] = best[town] + more
            queue.append(other)
print(best.get(n, -1))
