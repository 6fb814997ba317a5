class Solution:
    def commonThread(self, first: str, second: str) -> int:
        # Counts common letters in any order.
        return sum(min(first.count(x), second.count(x)) for x in set(first))
