# Asks for files that are not there: the kernel keeps each name, and charges it to somebody.
# expect: exited 0 | cpu_time_limit | memory_limit
import os
for number in range(1 << 30):
    try:
        os.stat(f"/box/{number:0200}")
        print("ESCAPED: there is", number)
    except OSError:
        pass
