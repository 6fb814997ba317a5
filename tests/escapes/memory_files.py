# Memory that belongs to a file and to no process.
# expect: exited 0
import os
for make in (lambda: os.memfd_create("x"), lambda: os.open("/dev/shm/x", os.O_RDWR | os.O_CREAT)):
    try:
        fd = make()
        print("ESCAPED: made a memory file", fd)
    except OSError:
        pass
