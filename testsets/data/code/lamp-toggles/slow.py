# Presses switches one by one, counting each lamp's presses by its divisors.
n = int(input())
lit = 0
for lamp in range(1, n + 1):
    presses = 0
    for walker in range(1, lamp + 1):
        if lamp % walker == 0:
            presses += 1
    lit += presses % 2
print(lit)
