class Solution:
    def bestSkips(self, harvest: List[int]) -> int:
        # No row is empty, or so it thinks.
        best = [0, max(0, harvest[0])]
        for value in harvest[1:]:
            best.append(max(best[-1], best[-2] + value))
        return best[-1]
