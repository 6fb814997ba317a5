def wordCuts(text, words):
    # A function without a class is as good.
    known = set(words)
    ways = {len(text): 1}
    for start in range(len(text) - 1, -1, -1):
        ways[start] = sum(ways[end] for end in range(start + 1, len(text) + 1) if text[start:end] in known)
    return ways[0]
