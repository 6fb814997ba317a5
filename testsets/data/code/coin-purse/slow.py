k, s = map(int, input().split())
coins = list(map(int, input().split()))


def ways(rest, first):
    if rest == 0:
        return 1
    if rest < 0 or first == k:
        return 0
    return ways(rest - coins[first], first) + ways(rest, first + 1)


print(ways(s, 0) % 998_244_353)
