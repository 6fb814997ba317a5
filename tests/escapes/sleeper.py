# Sleeps for ever: no CPU time at all.
# expect: wall_time_limit
import time
while True:
    time.sleep(3600)
