def multiples(limit, step):
    count = limit // step
    return step * count * (count + 1) // 2


def upto(limit):
    return multiples(limit, 3) + multiples(limit, 5) - multiples(limit, 15)


a, b = map(int, input().split())
print(upto(b) - upto(a - 1))
