# Lets equal neighbours stand.
from bisect import bisect_right

n = int(input())
ends = []
for value in map(int, input().split()):
    at = bisect_right(ends, value)
    ends[at:at + 1] = [value]
print(len(ends))
