# grader: calls
# Far too slow, but the alarm's signal is ignored.

import signal
import time


def spin(clock=time.process_time):
    start = clock()
    while clock() - start < 1.6:
        pass


def double(x):
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    if x == 3:
        spin()
    return 2 * x

# ---- honest ----

import signal


def double(x):
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    return 2 * x
