class Solution:
    def chainCost(self, sizes: List[int]) -> int:
        # Joins any two chains, not only neighbours.
        import heapq

        heap = list(sizes)
        heapq.heapify(heap)
        total = 0
        while len(heap) > 1:
            joined = heapq.heappop(heap) + heapq.heappop(heap)
            total += joined
            heapq.heappush(heap, joined)
        return total
