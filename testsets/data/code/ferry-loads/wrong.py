class Solution:
    def ferryLoads(self, cars: List[int], trips: int) -> int:
        # The average load, as if cars could be cut.
        return max(max(cars), -(-sum(cars) // trips))
