# Counts the root of a square twice.
n = int(input())
count, d = 0, 1
while d * d <= n:
    if n % d == 0:
        count += 2
    d += 1
print(count)
