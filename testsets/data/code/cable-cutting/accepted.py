n, k = map(int, input().split())
cables = list(map(int, input().split()))
low, high = 0, max(cables)
while low < high:
    middle = (low + high + 1) // 2
    if sum(cable // middle for cable in cables) >= k:
        low = middle
    else:
        high = middle - 1
print(low)
