# Takes all periods for coprime.
from math import prod

bells = [tuple(map(int, input().split())) for _ in range(int(input()))]
period = prod(p for p, _ in bells)
time = 0
for p, r in bells:
    while time % p != r and time < period:
        time += 1
print(time % period if all(time % p == r for p, r in bells) else -1)
