from functools import lru_cache

n, s = input().split()
s = int(s)


@lru_cache(None)
def free(places, rest):
    """Strings of digits of this length and sum."""
    if places == 0:
        return int(rest == 0)
    return sum(free(places - 1, rest - digit) for digit in range(min(9, rest) + 1))


count, rest = 0, s
for at, digit in enumerate(map(int, n)):
    for smaller in range(min(digit, rest + 1)):
        count += free(len(n) - at - 1, rest - smaller)
    rest -= digit
    if rest < 0:
        break
print(count + (rest == 0))
