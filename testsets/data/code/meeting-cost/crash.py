class Solution:
    def meetingCost(self, homes: List[int]) -> int:
        # Nobody has no median.
        middle = sorted(homes)[len(homes) // 2]
        return sum(abs(home - middle) for home in homes)
