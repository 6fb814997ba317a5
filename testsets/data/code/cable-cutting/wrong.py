# Divides the total, as if leftovers could be joined.
n, k = map(int, input().split())
print(sum(map(int, input().split())) // k)
