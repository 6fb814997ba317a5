class Solution:
    def firstOrder(self, n: int, rules: List[List[int]]) -> List[int]:
        from itertools import permutations

        for order in permutations(range(1, n + 1)):
            place = {chapter: i for i, chapter in enumerate(order)}
            if all(place[a] < place[b] for a, b in rules):
                return list(order)
        return []
