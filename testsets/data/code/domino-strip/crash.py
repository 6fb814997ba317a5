# A table that needs at least two columns.
n = int(input())
table = [0] * (n + 1)
table[0] = 1
table[2] = 3
for i in range(4, n + 1, 2):
    table[i] = (4 * table[i - 2] - table[i - 4]) % 1_000_000_007
print(table[n])
