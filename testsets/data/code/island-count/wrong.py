class Solution:
    def islandCount(self, rows: List[str]) -> int:
        # Joins islands over corners, too.
        land = {(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell == "x"}
        count = 0
        while land:
            count += 1
            shore = [land.pop()]
            while shore:
                r, c = shore.pop()
                for dr in (-1, 0, 1):
                    for dc in (-1, 0, 1):
                        if (r + dr, c + dc) in land:
                            land.remove((r + dr, c + dc))
                            shore.append((r + dr, c + dc))
        return count
