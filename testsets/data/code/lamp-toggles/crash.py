# Answers from a table that is too short.
from math import isqrt

table = [isqrt(i) for i in range(1000)]
print(table[int(input())])
