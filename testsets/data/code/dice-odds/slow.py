from itertools import product

n, f, s = map(int, input().split())
hits = 0
for faces in product(range(1, f + 1), repeat=n):
    if sum(faces) >= s:
        hits += 1
print(hits / f ** n)
