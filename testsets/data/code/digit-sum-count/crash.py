# The table ends at the largest sum of its places.
n, s = input().split()
s = int(s)
tables = [[1]]
for places in range(1, len(n) + 1):
    last = tables[-1]
    tables.append([sum(last[t - d] for d in range(10) if 0 <= t - d < len(last)) for t in range(9 * places + 1)])
tables[len(n)][s]
count, rest = 0, s
for at, digit in enumerate(map(int, n)):
    table = tables[len(n) - at - 1]
    for smaller in range(min(digit, rest + 1)):
        if rest - smaller < len(table):
            count += table[rest - smaller]
    rest -= digit
    if rest < 0:
        break
print(count + (rest == 0))
