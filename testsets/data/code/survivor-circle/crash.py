# Strips the leading bit by text and reads nothing for n = 1.
n = int(input())
print(2 * int(bin(n)[3:], 2) + 1)
