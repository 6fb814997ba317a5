class Solution:
    def commonThread(self, first: str, second: str) -> int:
        # Fills the borders from first letters that need not exist.
        table = [[0] * len(second) for _ in first]
        table[0][0] = int(first[0] == second[0])
        for i in range(len(first)):
            for j in range(len(second)):
                best = int(first[i] == second[j]) + (table[i - 1][j - 1] if i and j else 0)
                if i:
                    best = max(best, table[i - 1][j])
                if j:
                    best = max(best, table[i][j - 1])
                table[i][j] = best
        return table[-1][-1]
