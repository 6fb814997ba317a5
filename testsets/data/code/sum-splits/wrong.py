class Solution:
    def sumSplits(self, n: int, largest: int) -> int:
        # Each summand at most once.
        ways = [1] + [0] * n
        for part in range(1, min(n, largest) + 1):
            for total in range(n, part - 1, -1):
                ways[total] = (ways[total] + ways[total - part]) % 1_000_000_007
        return ways[n]
