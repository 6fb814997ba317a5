class Solution:
    def turnTiles(self, tiles: List[List[int]], turns: int) -> List[List[int]]:
        # Turns the other way.
        for _ in range(turns % 4):
            tiles = [list(row) for row in zip(*tiles)][::-1]
        return tiles
