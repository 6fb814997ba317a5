# Forgets that powers of two start over.
n = int(input())
highest = 1
while highest * 2 < n:
    highest *= 2
print(2 * (n - highest) + 1)
