# Looks for a cycle of remainders with a table of a thousand.
a, b, m = map(int, input().split())
seen = [0] * 1000
seen[a % m] = 1
print(pow(a, b, m))
