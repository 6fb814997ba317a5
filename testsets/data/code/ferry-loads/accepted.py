class Solution:
    def ferryLoads(self, cars: List[int], trips: int) -> int:
        def needed(capacity):
            count, load = 1, 0
            for car in cars:
                if load + car > capacity:
                    count, load = count + 1, 0
                load += car
            return count

        low, high = max(cars), sum(cars)
        while low < high:
            middle = (low + high) // 2
            if needed(middle) <= trips:
                high = middle
            else:
                low = middle + 1
        return low
