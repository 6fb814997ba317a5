# Stops itself: neither running nor ended.
# expect: wall_time_limit
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
