class Solution:
    def equalHalves(self, weights: List[int]) -> bool:
        # Begins with the heaviest weight, which an empty scale lacks.
        heaviest = max(weights)
        if 2 * heaviest > sum(weights):
            return False
        sums = {0}
        for weight in weights:
            sums |= {total + weight for total in sums}
        return sum(weights) % 2 == 0 and sum(weights) // 2 in sums
