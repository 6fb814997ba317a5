class Solution:
    def rollOut(self, runs: List[List], k: int) -> str:
        for letter, count in runs:
            if k < count:
                return letter
            k -= count
        return ""
