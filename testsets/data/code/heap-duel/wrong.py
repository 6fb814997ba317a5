class Solution:
    def heapDuel(self, heaps: List[int]) -> bool:
        # Parity of the stones.
        return sum(heaps) % 2 == 1
