# Binet's formula in floating point.
n, m = map(int, input().split())
root = 5 ** 0.5
n = min(n, 1400)
print(int(((1 + root) / 2) ** n / root + 0.5) % m)
