n = int(input())
begun = input().strip()


def ways(text, depth):
    if depth < 0:
        return 0
    if len(text) == n:
        return int(depth == 0)
    return ways(text + "(", depth + 1) + ways(text + ")", depth - 1)


depth = 0
for bracket in begun:
    depth += 1 if bracket == "(" else -1
    if depth < 0:
        break
print(ways(begun, depth) % 1_000_000_007)
