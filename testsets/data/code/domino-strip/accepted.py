n = int(input())
if n % 2:
    print(0)
else:
    before, now = 1, 1
    for i in range(n // 2):
        before, now = now, (3 if i == 0 else 4) * now - (0 if i == 0 else before)
        now %= 1_000_000_007
    print(now)
