# Walks every route that visits no town twice.
import sys

n, m, *rest = map(int, sys.stdin.read().split())
roads = [[] for _ in range(n + 1)]
for i in range(m):
    a, b, price = rest[3 * i:3 * i + 3]
    roads[a].append((b, price))
    roads[b].append((a, price))
visited = [False] * (n + 1)
found = -1


def walk(town, price):
    global found
    if town == n:
        if found < 0 or price < found:
            found = price
        return
    visited[town] = True
    for other, more in roads[town]:
        if not visited[other]:
            walk(other, price + more)
    visited[town] = False


walk(1, 0)
print(found)
