class Solution:
    def equalHalves(self, weights: List[int]) -> bool:
        sums = 1
        for weight in weights:
            sums |= sums << weight
        half, odd = divmod(sum(weights), 2)
        return not odd and bool(sums >> half & 1)
