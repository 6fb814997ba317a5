class Solution:
    def wordCuts(self, text: str, words: List[str]) -> int:
        if not text:
            return 1
        return sum(self.wordCuts(text[len(word):], words) for word in words if text.startswith(word))
