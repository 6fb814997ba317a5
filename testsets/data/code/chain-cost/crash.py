class Solution:
    def chainCost(self, sizes: List[int]) -> int:
        # Takes the cheapest pair first, also where there is none.
        first = min(a + b for a, b in zip(sizes, sizes[1:]))
        n = len(sizes)
        upto = [0]
        for size in sizes:
            upto.append(upto[-1] + size)
        cost = [[0] * (n + 1) for _ in range(n + 1)]
        for width in range(2, n + 1):
            for start in range(n - width + 1):
                end = start + width
                cheapest = min(cost[start][cut] + cost[cut][end] for cut in range(start + 1, end))
                cost[start][end] = cheapest + upto[end] - upto[start]
        return cost[0][n]
