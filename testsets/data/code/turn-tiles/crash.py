class Solution:
    def turnTiles(self, tiles: List[List[int]], turns: int) -> List[List[int]]:
        # Only squares survive this.
        for _ in range(turns % 4):
            n = max(len(tiles), len(tiles[0]))
            tiles = [[tiles[n - 1 - r][c] for r in range(n)] for c in range(n)]
        return tiles
