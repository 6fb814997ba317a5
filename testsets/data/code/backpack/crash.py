# Divides by the room left.
n, w = map(int, input().split())
scale = 1000 // w
best = [0] * (w + 1)
for _ in range(n):
    weight, value = map(int, input().split())
    for room in range(w, weight - 1, -1):
        best[room] = max(best[room], best[room - weight] + value)
print(best[w])
