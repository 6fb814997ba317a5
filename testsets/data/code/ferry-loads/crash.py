class Solution:
    def ferryLoads(self, cars: List[int], trips: int) -> int:
        # More trips than cars leave some trips without a car.
        leaders = [cars[trip] for trip in range(trips)]
        low, high = max(cars), sum(cars)
        while low < high:
            middle = (low + high) // 2
            count, load = 1, 0
            for car in cars:
                if load + car > middle:
                    count, load = count + 1, 0
                load += car
            if count <= trips:
                high = middle
            else:
                low = middle + 1
        return low
