class Solution:
    def meetingCost(self, homes: List[int]) -> int:
        best = None
        for place in range(min(homes, default=0), max(homes, default=0) + 1):
            total = sum(abs(home - place) for home in homes)
            if best is None or total < best:
                best = total
        return best
