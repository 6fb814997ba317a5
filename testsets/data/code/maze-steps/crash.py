# Looks over the edge of the maze.
from collections import deque

rows, columns = map(int, input().split())
maze = [input() for _ in range(rows)]
start = next((r, c) for r in range(rows) for c in range(columns) if maze[r][c] == "S")
steps = {start: 0}
queue = deque([start])
answer = "no way"
while queue:
    r, c = queue.popleft()
    if maze[r][c] == "E":
        answer = steps[r, c]
        break
    for cell in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
        if min(cell) >= 0 and maze[cell[0]][cell[1]] != "#" and cell not in steps:
            steps[cell] = steps[r, c] + 1
            queue.append(cell)
print(answer)
