class Solution:
    def commonFlash(self, periods: List[int]) -> int:
        # Divides by the difference of the first two periods.
        from math import gcd

        if len(periods) > 1:
            beat = periods[0] * periods[1] / (periods[0] - periods[1])
        second = 1
        for period in periods:
            second = second // gcd(second, period) * period
        return second
