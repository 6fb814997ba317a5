class Solution:
    def bestSkips(self, harvest: List[int]) -> int:
        without = with_last = 0
        for value in harvest:
            without, with_last = max(without, with_last), without + value
        return max(without, with_last)
