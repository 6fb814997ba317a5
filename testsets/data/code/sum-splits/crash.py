class Solution:
    def sumSplits(self, n: int, largest: int) -> int:
        # Counts with parts beyond the table.
        ways = [1] + [0] * n
        for part in range(1, largest + 1):
            ways[part] = (ways[part] + 1) % 1_000_000_007
            for total in range(part + 1, n + 1):
                ways[total] = (ways[total] + ways[total - part]) % 1_000_000_007
        return ways[n]
