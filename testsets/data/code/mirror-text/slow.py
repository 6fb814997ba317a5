class Solution:
    def mirrorText(self, text: str) -> str:
        best = ""
        for kept in range(1 << len(text)):
            left = "".join(letter for i, letter in enumerate(text) if kept >> i & 1)
            if left == left[::-1] and (-len(left), left) < (-len(best), best):
                best = left
        return best
