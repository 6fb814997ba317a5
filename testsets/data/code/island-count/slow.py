class Solution:
    def islandCount(self, rows: List[str]) -> int:
        # Spreads labels from cell to neighbour, and looks at all pairs anew after each change.
        land = [(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell == "x"]
        label = list(range(len(land)))

        def spread():
            for i, (r, c) in enumerate(land):
                for j, (s, d) in enumerate(land):
                    if abs(r - s) + abs(c - d) == 1 and label[i] < label[j]:
                        label[j] = label[i]
                        return True
            return False

        while spread():
            pass
        return len(set(label))
