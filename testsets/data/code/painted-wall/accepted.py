import sys

n, *ends = map(int, sys.stdin.read().split())
painted, reach = 0, 0
for left, right in sorted(zip(ends[::2], ends[1::2])):
    painted += max(0, right - max(left, reach))
    reach = max(reach, right)
print(painted)
