# Counts multiples of 15 twice.
def multiples(limit, step):
    count = limit // step
    return step * count * (count + 1) // 2


a, b = map(int, input().split())
print(sum(multiples(b, k) - multiples(a - 1, k) for k in (3, 5)))
