class Solution:
    def rollOut(self, runs: List[List], k: int) -> str:
        place = 0
        for letter, count in runs:
            while count > 0:
                if place == k:
                    return letter
                place += 1
                count -= 1
        return ""
