from math import gcd

time, period = 0, 1
for _ in range(int(input())):
    p, r = map(int, input().split())
    common = gcd(period, p)
    if (r - time) % common:
        time = -1
        break
    step = (r - time) // common * pow(period // common, -1, p // common) % (p // common)
    time += period * step
    period = period // common * p
    time %= period
print(time)
