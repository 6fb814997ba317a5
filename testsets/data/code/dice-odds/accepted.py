n, f, s = map(int, input().split())
odds = [1.0]
for _ in range(n):
    following = [0.0] * (len(odds) + f)
    for total, chance in enumerate(odds):
        for face in range(1, f + 1):
            following[total + face] += chance / f
    odds = following
print(sum(odds[s:]))
