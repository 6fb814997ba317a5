n, k = map(int, input().split())
moves = list(map(int, input().split()))
wins = [False] * (n + 1)
for heap in range(1, n + 1):
    wins[heap] = any(move <= heap and not wins[heap - move] for move in moves)
print("first" if wins[n] else "second")
