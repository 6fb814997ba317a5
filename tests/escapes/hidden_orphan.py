# An orphan, whose parent nobody of ours waits for, burns CPU.
# expect: cpu_time_limit
# expect CD: cpu_time_limit | exited 0
import os, time
try:
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
            while True:
                pass
        os._exit(0)
except BlockingIOError:
    raise SystemExit(0)
time.sleep(60)
