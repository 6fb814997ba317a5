class Solution:
    def commonThread(self, first: str, second: str) -> int:
        def longest(i, j):
            if i == len(first) or j == len(second):
                return 0
            best = max(longest(i + 1, j), longest(i, j + 1))
            if first[i] == second[j]:
                best = max(best, 1 + longest(i + 1, j + 1))
            return best

        return longest(0, 0)
