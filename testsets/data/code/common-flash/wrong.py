class Solution:
    def commonFlash(self, periods: List[int]) -> int:
        # The product is common, but not the first.
        second = 1
        for period in periods:
            second *= period
        return second
