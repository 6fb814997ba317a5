n, w = map(int, input().split())
things = [tuple(map(int, input().split())) for _ in range(n)]


def best(at, room):
    if at == n:
        return 0
    weight, value = things[at]
    without = best(at + 1, room)
    if weight > room:
        return without
    return max(without, value + best(at + 1, room - weight))


print(best(0, w))
