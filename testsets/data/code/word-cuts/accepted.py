class Solution:
    def wordCuts(self, text: str, words: List[str]) -> int:
        ways = [1] + [0] * len(text)
        for end in range(1, len(text) + 1):
            for word in words:
                if text.endswith(word, 0, end):
                    ways[end] += ways[end - len(word)]
        return ways[-1]
