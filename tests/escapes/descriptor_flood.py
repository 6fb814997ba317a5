# Opens descriptors until it may not, and asks for larger pipe buffers.
# expect: exited 0
import fcntl, os
opened = []
try:
    while len(opened) < 100000:
        opened += os.pipe()
    print("ESCAPED: no end of descriptors")
except OSError:
    pass
try:
    fcntl.fcntl(opened[1], 1031, 1 << 20)
    print("ESCAPED: enlarged a pipe")
except OSError:
    pass
