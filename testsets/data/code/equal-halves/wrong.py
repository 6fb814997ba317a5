class Solution:
    def equalHalves(self, weights: List[int]) -> bool:
        # An even total is needed, but not enough.
        return sum(weights) % 2 == 0
