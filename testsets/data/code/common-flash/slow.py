class Solution:
    def commonFlash(self, periods: List[int]) -> int:
        second = 1
        while any(second % period for period in periods):
            second += 1
        return second
