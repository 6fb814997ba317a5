# A minimum over no stamps at all.
k, s = map(int, input().split())
values = list(map(int, input().split()))
fewest = [0] + [10**9] * s
for cents in range(1, s + 1):
    fewest[cents] = min(fewest[cents - value] + 1 for value in values if value <= cents)
print(fewest[s] if fewest[s] < 10**9 else -1)
