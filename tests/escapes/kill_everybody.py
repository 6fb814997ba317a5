# Signals every process it can name.
# expect: exited 0 | signaled 9
import os, signal
for pid in [1, -1, *range(2, 5000)]:
    if pid != os.getpid():
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
