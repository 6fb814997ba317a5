n = int(input())
values = list(map(int, input().split()))
reachable = 1
for value in values:
    reachable |= reachable << value
total = sum(values)
print(min(abs(total - 2 * part) for part in range(total + 1) if reachable >> part & 1))
