# Gives itself a name that reads like the numbers a supervisor looks at, and uses memory.
# expect: memory_limit
import ctypes
ctypes.CDLL(None).prctl(15, b") R 1 1 1 0 0", 0, 0, 0)
kept = []
while True:
    kept.append(bytearray(b"x" * (1 << 22)))
