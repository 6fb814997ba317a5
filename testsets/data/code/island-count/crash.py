class Solution:
    def islandCount(self, rows: List[str]) -> int:
        # Falls over the right edge.
        seen = [[False] * len(row) for row in rows]
        count = 0
        for r in range(len(rows)):
            for c in range(len(rows[0])):
                if rows[r][c] != "x" or seen[r][c]:
                    continue
                count += 1
                shore = [(r, c)]
                while shore:
                    a, b = shore.pop()
                    if seen[a][b]:
                        continue
                    seen[a][b] = True
                    for s, d in ((a + 1, b), (a - 1, b), (a, b + 1), (a, b - 1)):
                        if 0 <= s < len(rows) and 0 <= d and rows[s][d] == "x":
                            shore.append((s, d))
        return count
