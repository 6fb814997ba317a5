# Asks for the smallest divisor below the root, which primes do not have.
from math import isqrt

n = int(input())
smallest = n if n == 1 else next(d for d in range(2, isqrt(n) + 1) if n % d == 0)
count = sum(1 if d * d == n else 2 for d in range(1, isqrt(n) + 1) if n % d == 0)
print(count)
