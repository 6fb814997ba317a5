k, s = map(int, input().split())
values = list(map(int, input().split()))
never = s + 1
fewest = [0] + [never] * s
for cents in range(1, s + 1):
    for value in values:
        if value <= cents and fewest[cents - value] + 1 < fewest[cents]:
            fewest[cents] = fewest[cents - value] + 1
print(fewest[s] if fewest[s] < never else -1)
