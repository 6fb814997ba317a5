class Solution:
    def wordCuts(self, text: str, words: List[str]) -> int:
        # Says only whether there is a way.
        ways = [1] + [0] * len(text)
        for end in range(1, len(text) + 1):
            ways[end] = int(any(text.endswith(word, 0, end) and ways[end - len(word)] for word in words))
        return ways[-1]
