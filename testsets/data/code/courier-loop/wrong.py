# Always goes to the nearest address not yet visited.
n = int(input())
way = [list(map(int, input().split())) for _ in range(n)]
here, length, left = 0, 0, set(range(1, n))
while left:
    nearest = min(left, key=lambda other: way[here][other])
    length += way[here][nearest]
    left.remove(nearest)
    here = nearest
print(length + way[here][0])
