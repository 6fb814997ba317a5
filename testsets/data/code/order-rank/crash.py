class Solution:
    def orderRank(self, order: List[int]) -> int:
        # Factorials by hand, up to twelve.
        factorials = [1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800, 479001600]
        rank, n = 1, len(order)
        for i, value in enumerate(order):
            rank += sum(later < value for later in order[i + 1:]) * factorials[n - 1 - i]
        return rank
