# Only counts what falls apart into blocks of two columns.
n = int(input())
print(0 if n % 2 else pow(3, n // 2, 1_000_000_007))
