class Solution:
    def gridWalks(self, grid: List[str]) -> int:
        def walks(r, c):
            if r == len(grid) or c == len(grid[0]) or grid[r][c] == "#":
                return 0
            if r == len(grid) - 1 and c == len(grid[0]) - 1:
                return 1
            return walks(r + 1, c) + walks(r, c + 1)

        return walks(0, 0)
