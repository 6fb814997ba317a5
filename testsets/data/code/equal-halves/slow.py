class Solution:
    def equalHalves(self, weights: List[int]) -> bool:
        def balance(at, difference):
            if at == len(weights):
                return difference == 0
            plus = balance(at + 1, difference + weights[at])
            minus = balance(at + 1, difference - weights[at])
            return plus or minus

        return balance(0, 0)
