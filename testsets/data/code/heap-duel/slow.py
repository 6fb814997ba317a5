class Solution:
    def heapDuel(self, heaps: List[int]) -> bool:
        for i, heap in enumerate(heaps):
            for left in range(heap):
                if not self.heapDuel(heaps[:i] + [left] + heaps[i + 1:]):
                    return True
        return False
