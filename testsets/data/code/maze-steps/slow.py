# Tries every path that does not cross itself.
rows, columns = map(int, input().split())
maze = [input() for _ in range(rows)]
cells = {(r, c): maze[r][c] for r in range(rows) for c in range(columns)}
start = next(cell for cell in cells if cells[cell] == "S")
path = set()
best = None


def walk(r, c):
    global best
    if cells[r, c] == "E":
        best = len(path) if best is None else min(best, len(path))
        return
    path.add((r, c))
    for cell in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
        if cells.get(cell, "#") != "#" and cell not in path:
            walk(*cell)
    path.remove((r, c))


walk(*start)
print("no way" if best is None else best)
