# Gets a hundred megabytes of input, reads none, and sleeps.
# expect: wall_time_limit
# input: 100000000
import time
time.sleep(60)
