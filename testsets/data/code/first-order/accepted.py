class Solution:
    def firstOrder(self, n: int, rules: List[List[int]]) -> List[int]:
        import heapq

        waits = [0] * (n + 1)
        then = [[] for _ in range(n + 1)]
        for a, b in rules:
            then[a].append(b)
            waits[b] += 1
        ready = [chapter for chapter in range(1, n + 1) if waits[chapter] == 0]
        order = []
        while ready:
            chapter = heapq.heappop(ready)
            order.append(chapter)
            for later in then[chapter]:
                waits[later] -= 1
                if waits[later] == 0:
                    heapq.heappush(ready, later)
        return order if len(order) == n else []
