# Allows moves only where the smallest one is.
n, k = map(int, input().split())
moves = sorted(map(int, input().split()))
wins = [False] * (n + 1)
wins[moves[0]] = True
for heap in range(1, n + 1):
    wins[heap] = any(move <= heap and not wins[heap - move] for move in moves)
print("first" if wins[n] else "second")
