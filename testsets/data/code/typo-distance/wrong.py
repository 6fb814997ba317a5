class Solution:
    def typoDistance(self, typed: str, meant: str) -> int:
        # Knows no swaps.
        row = list(range(len(meant) + 1))
        for i, a in enumerate(typed, 1):
            diagonal, row[0] = row[0], i
            for j, b in enumerate(meant, 1):
                above = row[j]
                row[j] = min(above + 1, row[j - 1] + 1, diagonal + (a != b))
                diagonal = above
        return row[-1]
