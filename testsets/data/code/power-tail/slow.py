a, b, m = map(int, input().split())
result = 1 % m
while b > 0:
    result = result * a % m
    b -= 1
print(result)
