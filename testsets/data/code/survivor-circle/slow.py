n = int(input())
survivor = 0
for size in range(2, n + 1):
    survivor = (survivor + 2) % size
print(survivor + 1)
