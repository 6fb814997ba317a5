k, s = map(int, input().split())
values = list(map(int, input().split()))


def fewest(rest):
    if rest == 0:
        return 0
    best = -1
    for value in values:
        if value <= rest:
            count = fewest(rest - value)
            if count >= 0 and (best < 0 or count + 1 < best):
                best = count + 1
    return best


print(fewest(s))
