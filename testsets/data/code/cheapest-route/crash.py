# Assumes that the last town was reached.
import heapq
import sys

n, m, *rest = map(int, sys.stdin.read().split())
roads = [[] for _ in range(n + 1)]
for i in range(m):
    a, b, price = rest[3 * i:3 * i + 3]
    roads[a].append((b, price))
    roads[b].append((a, price))
best = {}
heap = [(0, 1)]
while heap:
    price, town = heapq.heappop(heap)
    if town in best:
        continue
    best[town] = price
    for other, more in roads[town]:
        heapq.heappush(heap, (price + more, other))
print(best[n])
