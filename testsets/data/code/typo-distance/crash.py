class Solution:
    def typoDistance(self, typed: str, meant: str) -> int:
        # Looks at the letter behind the last one for a swap.
        rows = {(len(typed), j): len(meant) - j for j in range(len(meant) + 1)}
        for i in range(len(typed) - 1, -1, -1):
            rows[i, len(meant)] = len(typed) - i
            for j in range(len(meant) - 1, -1, -1):
                same = typed[i] == meant[j]
                best = min(rows[i + 1, j] + 1, rows[i, j + 1] + 1, rows[i + 1, j + 1] + (not same))
                if not same and typed[i] == meant[j + 1] and typed[i + 1] == meant[j]:
                    best = min(best, rows[i + 2, j + 2] + 1)
                rows[i, j] = best
        return rows[0, 0]
