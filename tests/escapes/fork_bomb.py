# Every process forks until something stops it.
# expect: process_limit | cpu_time_limit | exited 1
import os
while True:
    os.fork()
