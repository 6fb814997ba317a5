# One short-lived child after the other burns CPU, and none is waited for.
# expect: cpu_time_limit | wall_time_limit
# expect CD: cpu_time_limit | wall_time_limit | exited 0
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(30):
    try:
        if os.fork() == 0:
            while time.process_time() < 0.1:
                pass
            os._exit(0)
    except BlockingIOError:
        raise SystemExit(0)
    try:
        os.wait()
    except ChildProcessError:
        pass
