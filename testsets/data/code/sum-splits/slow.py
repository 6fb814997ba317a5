class Solution:
    def sumSplits(self, n: int, largest: int) -> int:
        def count(rest, part):
            if rest == 0:
                return 1
            if rest < 0 or part == 0:
                return 0
            return count(rest - part, part) + count(rest, part - 1)

        return count(n, largest) % 1_000_000_007
