class Solution:
    def mirrorText(self, text: str) -> str:
        n = len(text)
        best = [[""] * (n + 1) for _ in range(n + 2)]
        for start in range(n - 1, -1, -1):
            best[start][start + 1] = text[start]
            for end in range(start + 2, n + 1):
                tries = [best[start + 1][end], best[start][end - 1]]
                if text[start] == text[end - 1]:
                    tries.append(text[start] + best[start + 1][end - 1] + text[start])
                best[start][end] = min(tries, key=lambda one: (-len(one), one))
        return best[0][n]
