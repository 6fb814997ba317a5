class Solution:
    def orderRank(self, order: List[int]) -> int:
        from itertools import permutations

        for rank, one in enumerate(permutations(sorted(order)), 1):
            if list(one) == order:
                return rank
