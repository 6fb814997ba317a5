class Solution:
    def meetingCost(self, homes: List[int]) -> int:
        # Meets at the average, not at the median.
        if not homes:
            return 0
        middle = round(sum(homes) / len(homes))
        return sum(abs(home - middle) for home in homes)
