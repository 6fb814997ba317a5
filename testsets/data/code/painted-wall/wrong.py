# Adds the strokes up as if they never met.
import sys

n, *ends = map(int, sys.stdin.read().split())
print(sum(ends[1::2]) - sum(ends[::2]))
