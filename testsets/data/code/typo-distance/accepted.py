class Solution:
    def typoDistance(self, typed: str, meant: str) -> int:
        rows = [list(range(len(meant) + 1))]
        for i in range(1, len(typed) + 1):
            row = [i]
            for j in range(1, len(meant) + 1):
                same = typed[i - 1] == meant[j - 1]
                best = min(rows[-1][j] + 1, row[j - 1] + 1, rows[-1][j - 1] + (not same))
                if i > 1 and j > 1 and typed[i - 2:i] == meant[j - 1] + meant[j - 2]:
                    best = min(best, rows[-2][j - 2] + 1)
                row.append(best)
            rows.append(row)
        return rows[-1][-1]
