class Solution:
    def cellDays(self, cells: List[int], days: int) -> List[int]:
        seen, history = {}, []
        state = tuple(cells)
        while state not in seen and len(history) < days:
            seen[state] = len(history)
            history.append(state)
            state = tuple(state[i - 1] ^ state[(i + 1) % 8] for i in range(8))
        if len(history) == days and state not in seen:
            return list(state)
        start = seen[state]
        if days < len(history):
            return list(history[days])
        return list(history[start + (days - start) % (len(history) - start)])
