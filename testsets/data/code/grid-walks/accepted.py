class Solution:
    def gridWalks(self, grid: List[str]) -> int:
        ways = [1] + [0] * (len(grid[0]) - 1)
        for row in grid:
            for c, cell in enumerate(row):
                left = ways[c - 1] if c else 0
                ways[c] = 0 if cell == "#" else ways[c] + left
        return ways[-1]
