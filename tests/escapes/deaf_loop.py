# Ignores every signal that can be ignored and loops.
# expect: cpu_time_limit
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    pass
