class Solution:
    def heapDuel(self, heaps: List[int]) -> bool:
        # reduce() without a first value needs at least one heap.
        from functools import reduce
        from operator import xor

        return reduce(xor, heaps) != 0
