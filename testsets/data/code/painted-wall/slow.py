# Paints the wall unit by unit.
import sys

n, *ends = map(int, sys.stdin.read().split())
strokes = list(zip(ends[::2], ends[1::2]))
painted = 0
for unit in range(max(ends, default=0)):
    for left, right in strokes:
        if left <= unit < right:
            painted += 1
            break
print(painted)
