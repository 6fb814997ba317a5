class Solution:
    def bestSkips(self, harvest: List[int]) -> int:
        def best(at):
            if at >= len(harvest):
                return 0
            return max(best(at + 1), harvest[at] + best(at + 2))

        return best(0)
