# Tries length zero.
n, k = map(int, input().split())
cables = list(map(int, input().split()))
low, high = 0, max(cables)
while low < high:
    middle = (low + high) // 2
    if sum(cable // middle for cable in cables) >= k:
        low = middle + 1
    else:
        high = middle
print(low - 1)
