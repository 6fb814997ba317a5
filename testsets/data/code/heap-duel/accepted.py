class Solution:
    def heapDuel(self, heaps: List[int]) -> bool:
        balance = 0
        for heap in heaps:
            balance ^= heap
        return balance != 0
