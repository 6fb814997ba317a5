# Tests only divisors below the root, so squares of primes count as primes.
n = int(input())
count = 0
for x in range(2, n + 1):
    p = 2
    while p * p < x and x % p:
        p += 1
    if p * p >= x:
        count += 1
print(count)
