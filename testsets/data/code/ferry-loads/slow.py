class Solution:
    def ferryLoads(self, cars: List[int], trips: int) -> int:
        capacity = max(cars)
        while True:
            count, load = 1, 0
            for car in cars:
                if load + car > capacity:
                    count, load = count + 1, 0
                load += car
            if count <= trips:
                return capacity
            capacity += 1
