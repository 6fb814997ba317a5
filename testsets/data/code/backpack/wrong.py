# Goes up through the rooms, so a thing can be packed again and again.
n, w = map(int, input().split())
best = [0] * (w + 1)
for _ in range(n):
    weight, value = map(int, input().split())
    for room in range(weight, w + 1):
        best[room] = max(best[room], best[room - weight] + value)
print(best[w])
