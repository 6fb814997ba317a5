from bisect import bisect_left

n = int(input())
ends = []
for value in map(int, input().split()):
    at = bisect_left(ends, value)
    ends[at:at + 1] = [value]
print(len(ends))
