class Solution:
    def cellDays(self, cells: List[int], days: int) -> List[int]:
        for _ in range(days):
            cells = [int(cells[i - 1] != cells[(i + 1) % 8]) for i in range(8)]
        return cells
