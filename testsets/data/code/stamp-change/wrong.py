# Always takes the largest stamp that fits.
k, s = map(int, input().split())
count = 0
for value in sorted(map(int, input().split()), reverse=True):
    count += s // value
    s %= value
print(-1 if s else count)
