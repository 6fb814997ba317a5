from math import lcm

bells = [tuple(map(int, input().split())) for _ in range(int(input()))]
end = lcm(*(p for p, _ in bells))
time = 0
while time < end and any(time % p != r for p, r in bells):
    time += 1
print(time if time < end else -1)
