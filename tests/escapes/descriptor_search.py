# Looks for a descriptor that came along by accident, and writes to all it finds.
# expect: exited 0
import os
for fd in [*range(3, 4096), 1 << 16, 1 << 20]:
    try:
        os.fstat(fd)
        os.write(fd, b"forged")
        print("ESCAPED: found descriptor", fd)
    except OSError:
        pass
