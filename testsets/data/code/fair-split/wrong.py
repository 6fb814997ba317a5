# Greedy: the next largest goes to the poorer heir.
n = int(input())
first = second = 0
for value in sorted(map(int, input().split()), reverse=True):
    if first <= second:
        first += value
    else:
        second += value
print(abs(first - second))
