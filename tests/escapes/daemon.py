# A grandchild in a session of its own outlives its parent and burns CPU.
# expect: exited 0
import os
try:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                pass
        os._exit(0)
except BlockingIOError:
    pass
