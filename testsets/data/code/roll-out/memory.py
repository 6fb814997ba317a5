class Solution:
    def rollOut(self, runs: List[List], k: int) -> str:
        # Really writes the text down, in blocks.
        text = []
        place = 0
        for letter, count in runs:
            while count > 0:
                block = letter * min(count, 1 << 22)
                text.append(block)
                if place <= k < place + len(block):
                    return block[0]
                place += len(block)
                count -= len(block)
        return ""
