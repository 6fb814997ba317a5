n = int(input())
row = list(map(int, input().split()))


def longest(at, last):
    if at == n:
        return 0
    best = longest(at + 1, last)
    if last is None or row[at] > last:
        best = max(best, 1 + longest(at + 1, row[at]))
    return best


print(longest(0, None))
