n = int(input())
way = [list(map(int, input().split())) for _ in range(n)]
far = float("inf")
size = 1 << (n - 1)
# best[done][last]: addresses 2..n only, as bits and columns.
best = [[far] * (n - 1) for _ in range(size)]
for first in range(n - 1):
    best[1 << first][first] = way[0][first + 1]
for done in range(size):
    row = best[done]
    for last in range(n - 1):
        if row[last] == far:
            continue
        for other in range(n - 1):
            bit = 1 << other
            if not done & bit:
                length = row[last] + way[last + 1][other + 1]
                if length < best[done | bit][other]:
                    best[done | bit][other] = length
print(min((best[-1][last] + way[last + 1][0] for last in range(n - 1)), default=0))
