# Halves the number of orders for each rule.
import sys
from math import factorial

n, m, *rest = map(int, sys.stdin.read().split())
rules = set(zip(rest[::2], rest[1::2]))
print(factorial(n) >> len(rules))
