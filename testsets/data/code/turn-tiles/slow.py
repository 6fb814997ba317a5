class Solution:
    def turnTiles(self, tiles: List[List[int]], turns: int) -> List[List[int]]:
        while turns > 0:
            rows, columns = len(tiles), len(tiles[0])
            tiles = [[tiles[rows - 1 - r][c] for r in range(rows)] for c in range(columns)]
            turns -= 1
        return tiles
