# Lays dominoes on the first free square, one after the other.
n = int(input())
full = [False] * (3 * n)


def lay(at):
    while at < 3 * n and full[at]:
        at += 1
    if at == 3 * n:
        return 1
    ways = 0
    full[at] = True
    if at + 3 < 3 * n and not full[at + 3]:
        full[at + 3] = True
        ways += lay(at + 1)
        full[at + 3] = False
    if at % 3 < 2 and not full[at + 1]:
        full[at + 1] = True
        ways += lay(at + 1)
        full[at + 1] = False
    full[at] = False
    return ways


print(lay(0) % 1_000_000_007)
