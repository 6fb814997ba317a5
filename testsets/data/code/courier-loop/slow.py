from itertools import permutations

n = int(input())
way = [list(map(int, input().split())) for _ in range(n)]
best = None
for order in permutations(range(1, n)):
    here, length = 0, 0
    for other in order:
        length += way[here][other]
        here = other
    length += way[here][0]
    if best is None or length < best:
        best = length
print(best)
