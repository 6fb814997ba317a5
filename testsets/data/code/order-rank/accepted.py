class Solution:
    def orderRank(self, order: List[int]) -> int:
        from math import factorial

        rank, n = 1, len(order)
        for i, value in enumerate(order):
            smaller = sum(later < value for later in order[i + 1:])
            rank += smaller * factorial(n - 1 - i)
        return rank
