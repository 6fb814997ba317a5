class Solution:
    def rollOut(self, runs: List[List], k: int) -> str:
        # Looks for the run in running totals; there may be none so large.
        total, totals = 0, []
        for _, count in runs:
            total += count
            totals.append(total)
        at = next(i for i, total in enumerate(totals) if k < total)
        return runs[at][0]
