class Solution:
    def meetingCost(self, homes: List[int]) -> int:
        homes = sorted(homes)
        half = len(homes) // 2
        return sum(homes[len(homes) - half:]) - sum(homes[:half])
