# Does not mind closing what was never opened.
from math import comb

n = int(input())
begun = input().strip()
rest = n - len(begun)
depth = begun.count("(") - begun.count(")")
print(comb(rest, (rest - depth) // 2) % 1_000_000_007 if abs(depth) <= rest and (rest - depth) % 2 == 0 else 0)
