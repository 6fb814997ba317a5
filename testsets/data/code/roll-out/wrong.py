class Solution:
    def rollOut(self, runs: List[List], k: int) -> str:
        # Off by one at the end of a run.
        for letter, count in runs:
            if k <= count:
                return letter
            k -= count
        return ""
