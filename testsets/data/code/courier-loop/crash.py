# No loop has a shortest one among none.
n = int(input())
way = [list(map(int, input().split())) for _ in range(n)]
layer = {(1 << i, i): way[0][i] for i in range(1, n)}
for _ in range(n - 2):
    following = {}
    for (done, last), length in layer.items():
        for other in range(1, n):
            if not done >> other & 1:
                key = done | 1 << other, other
                total = length + way[last][other]
                if total < following.get(key, 1 << 60):
                    following[key] = total
    layer = following
print(min(length + way[last][0] for (_, last), length in layer.items()))
