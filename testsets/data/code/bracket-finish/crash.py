# Pops from an empty stack.
n = int(input())
begun = input().strip()
stack = []
for bracket in begun:
    if bracket == "(":
        stack.append(bracket)
    else:
        stack.pop()
ways = [0] * (n + 2)
ways[len(stack)] = 1
for _ in range(n - len(begun)):
    ways = [((ways[d - 1] if d else 0) + ways[d + 1]) % 1_000_000_007 for d in range(n + 1)] + [0]
print(ways[0])
