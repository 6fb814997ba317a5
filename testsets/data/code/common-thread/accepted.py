class Solution:
    def commonThread(self, first: str, second: str) -> int:
        row = [0] * (len(second) + 1)
        for a in first:
            diagonal = 0
            for j, b in enumerate(second, 1):
                above = row[j]
                row[j] = diagonal + 1 if a == b else max(above, row[j - 1])
                diagonal = above
        return row[-1]
