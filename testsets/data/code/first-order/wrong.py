class Solution:
    def firstOrder(self, n: int, rules: List[List[int]]) -> List[int]:
        # First come, first served: a valid order, not the smallest.
        waits = [0] * (n + 1)
        then = [[] for _ in range(n + 1)]
        for a, b in rules:
            then[a].append(b)
            waits[b] += 1
        order = [chapter for chapter in range(1, n + 1) if waits[chapter] == 0]
        for chapter in order:
            for later in then[chapter]:
                waits[later] -= 1
                if waits[later] == 0:
                    order.append(later)
        return order if len(order) == n else []
