n = int(input())
count = 0
for x in range(2, n + 1):
    prime = True
    for d in range(2, x):
        if x % d == 0:
            prime = False
            break
    count += prime
print(count)
