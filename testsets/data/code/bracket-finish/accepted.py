n = int(input())
begun = input().strip()
depth = 0
for bracket in begun:
    depth += 1 if bracket == "(" else -1
    if depth < 0:
        break
ways = {depth: 1} if depth >= 0 else {}
for _ in range(n - len(begun)):
    following = {}
    for depth, count in ways.items():
        for other in (depth - 1, depth + 1):
            if other >= 0:
                following[other] = (following.get(other, 0) + count) % 1_000_000_007
    ways = following
print(ways.get(0, 0))
