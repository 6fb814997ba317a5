n = int(input())
print(2 * (n - (1 << n.bit_length() - 1)) + 1)
