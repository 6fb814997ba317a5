n, k = map(int, input().split())
cables = list(map(int, input().split()))
best = 0
for length in range(1, max(cables) + 1):
    if sum(cable // length for cable in cables) >= k:
        best = length
print(best)
