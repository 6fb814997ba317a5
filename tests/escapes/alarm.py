# Leaves timers behind that go off when another program runs.
# expect: exited 0
import signal
signal.alarm(1)
for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
    signal.setitimer(timer, 0.05, 0.01)
