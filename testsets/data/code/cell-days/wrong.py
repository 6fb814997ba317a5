class Solution:
    def cellDays(self, cells: List[int], days: int) -> List[int]:
        # Takes the row for a row, not for a ring.
        for _ in range(min(days, 64)):
            padded = [0] + cells + [0]
            cells = [padded[i] ^ padded[i + 2] for i in range(8)]
        return cells
