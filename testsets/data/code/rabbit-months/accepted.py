def pair(n, m):
    """F(n) and F(n + 1) modulo m."""
    if n == 0:
        return 0, 1 % m
    a, b = pair(n // 2, m)
    even = a * (2 * b - a) % m
    odd = (a * a + b * b) % m
    return (odd, (even + odd) % m) if n % 2 else (even, odd)


n, m = map(int, input().split())
print(pair(n, m)[0])
