class Solution:
    def islandCount(self, rows: List[str]) -> int:
        land = {(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell == "x"}
        count = 0
        while land:
            count += 1
            shore = [land.pop()]
            while shore:
                r, c = shore.pop()
                for cell in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                    if cell in land:
                        land.remove(cell)
                        shore.append(cell)
        return count
