from collections import deque

rows, columns = map(int, input().split())
maze = [input() for _ in range(rows)]
cells = {(r, c): maze[r][c] for r in range(rows) for c in range(columns)}
start = next(cell for cell in cells if cells[cell] == "S")
steps = {start: 0}
queue = deque([start])
answer = "no way"
while queue:
    r, c = queue.popleft()
    if cells[r, c] == "E":
        answer = steps[r, c]
        break
    for cell in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
        if cells.get(cell, "#") != "#" and cell not in steps:
            steps[cell] = steps[r, c] + 1
            queue.append(cell)
print(answer)
