class Solution:
    def wordCuts(self, text: str, words: List[str]) -> int:
        # The longest of no words.
        longest = max(len(word) for word in words)
        ways = [1] + [0] * len(text)
        for end in range(1, len(text) + 1):
            for start in range(max(0, end - longest), end):
                if text[start:end] in words:
                    ways[end] += ways[start]
        return ways[-1]
