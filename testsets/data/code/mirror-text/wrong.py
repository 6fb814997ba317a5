class Solution:
    def mirrorText(self, text: str) -> str:
        # The longest piece in one part.
        n = len(text)
        pieces = (text[i:j] for i in range(n + 1) for j in range(i, n + 1))
        return min((one for one in pieces if one == one[::-1]), key=lambda one: (-len(one), one))
