# Inverts periods that have no inverse.
time, period = 0, 1
for _ in range(int(input())):
    p, r = map(int, input().split())
    step = (r - time) * pow(period, -1, p) % p
    time += period * step
    period *= p
print(time % period)
