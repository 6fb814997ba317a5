class Solution:
    def cellDays(self, cells: List[int], days: int) -> List[int]:
        # The last cell's right neighbour is not behind the end.
        for _ in range(min(days, 8)):
            cells = [cells[i - 1] ^ cells[i + 1] for i in range(8)]
        return cells
