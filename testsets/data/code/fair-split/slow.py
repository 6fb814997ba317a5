n = int(input())
values = list(map(int, input().split()))


def best(at, difference):
    if at == n:
        return abs(difference)
    return min(best(at + 1, difference + values[at]), best(at + 1, difference - values[at]))


print(best(0, 0))
