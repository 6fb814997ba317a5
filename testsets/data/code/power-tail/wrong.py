# Reduces the exponent modulo m - 1, which only holds for primes.
a, b, m = map(int, input().split())
print(pow(a, b % (m - 1) if m > 1 else 0, m))
