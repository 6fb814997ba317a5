# Opens descriptors by their names, in the hope of one that is not its own.
# expect: exited 0
import os
for number in range(3, 256):
    for folder in ("/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"):
        for flags in (os.O_RDONLY, os.O_WRONLY):
            try:
                print("ESCAPED:", os.open(f"{folder}/{number}", flags | os.O_NONBLOCK), number)
            except OSError:
                pass
