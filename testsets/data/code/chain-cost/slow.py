class Solution:
    def chainCost(self, sizes: List[int]) -> int:
        if len(sizes) == 1:
            return 0
        tries = []
        for cut in range(1, len(sizes)):
            tries.append(self.chainCost(sizes[:cut]) + self.chainCost(sizes[cut:]))
        return sum(sizes) + min(tries)
