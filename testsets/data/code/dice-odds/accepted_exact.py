# Whole numbers all the way, one division at the end.
n, f, s = map(int, input().split())
ways = [1]
for _ in range(n):
    following = [0] * (len(ways) + f)
    for total, count in enumerate(ways):
        for face in range(1, f + 1):
            following[total + face] += count
    ways = following
print(f"{sum(ways[s:]) / f ** n:.15f}")
