class Solution:
    def firstOrder(self, n: int, rules: List[List[int]]) -> List[int]:
        # Takes the first free chapter, also when none is free.
        left, order = set(range(1, n + 1)), []
        rules = [tuple(rule) for rule in rules]
        while left:
            blocked = {b for a, b in rules if a in left}
            chapter = sorted(left - blocked)[0]
            left.remove(chapter)
            order.append(chapter)
        return order
