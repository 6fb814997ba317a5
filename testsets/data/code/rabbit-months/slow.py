n, m = map(int, input().split())
a, b = 0, 1 % m
for _ in range(n):
    a, b = b, (a + b) % m
print(a)
