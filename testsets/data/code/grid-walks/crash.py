class Solution:
    def gridWalks(self, grid: List[str]) -> int:
        # Swaps rows and columns in the table.
        rows, columns = len(grid), len(grid[0])
        ways = [[0] * rows for _ in range(columns)]
        for r in range(rows):
            for c in range(columns):
                if grid[r][c] == ".":
                    above = ways[r - 1][c] if r else 0
                    left = ways[r][c - 1] if c else 0
                    ways[r][c] = 1 if r == c == 0 else above + left
        return ways[rows - 1][columns - 1]
