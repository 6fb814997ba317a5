# The first of no strokes.
import sys

n, *ends = map(int, sys.stdin.read().split())
strokes = sorted(zip(ends[::2], ends[1::2]))
painted, reach = 0, strokes[0][0]
for left, right in strokes:
    painted += max(0, right - max(left, reach))
    reach = max(reach, right)
print(painted)
