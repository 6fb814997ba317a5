# A child burns CPU while the parent sleeps and ignores its end.
# expect: cpu_time_limit
# expect CD: cpu_time_limit | exited 0
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
try:
    if os.fork() == 0:
        while True:
            pass
except BlockingIOError:
    raise SystemExit(0)
time.sleep(60)
