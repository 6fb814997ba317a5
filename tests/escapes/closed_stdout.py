# Closes its streams and goes on running.
# expect: cpu_time_limit
import os
for fd in (0, 1, 2):
    os.close(fd)
while True:
    pass
