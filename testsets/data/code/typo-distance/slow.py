class Solution:
    def typoDistance(self, typed: str, meant: str) -> int:
        def distance(i, j):
            if i == len(typed):
                return len(meant) - j
            if j == len(meant):
                return len(typed) - i
            best = min(
                1 + distance(i + 1, j),
                1 + distance(i, j + 1),
                (typed[i] != meant[j]) + distance(i + 1, j + 1),
            )
            if typed[i:i + 2] == meant[j:j + 2][::-1] and len(typed[i:i + 2]) == 2:
                best = min(best, 1 + distance(i + 2, j + 2))
            return best

        return distance(0, 0)
