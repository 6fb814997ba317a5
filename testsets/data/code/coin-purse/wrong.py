# Counts orders of the same coins as different.
k, s = map(int, input().split())
coins = list(map(int, input().split()))
ways = [1] + [0] * s
for total in range(1, s + 1):
    for coin in coins:
        if coin <= total:
            ways[total] = (ways[total] + ways[total - coin]) % 998_244_353
print(ways[s])
