class Solution:
    def commonFlash(self, periods: List[int]) -> int:
        from math import gcd

        second = 1
        for period in periods:
            second = second // gcd(second, period) * period
        return second
