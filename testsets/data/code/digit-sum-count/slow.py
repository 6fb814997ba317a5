n, s = map(int, input().split())
count = 0
for x in range(1, n + 1):
    total, y = 0, x
    while y:
        total += y % 10
        y //= 10
    count += total == s
print(count)
