a, b = map(int, input().split())
total = 0
for x in range(a, b + 1):
    if x % 3 == 0 or x % 5 == 0:
        total += x
print(total)
