# A process that outlives its parent writes when the run is over.
# expect: exited 0
import os, time
try:
    if os.fork() == 0:
        os.setsid()
        time.sleep(0.3)
        while True:
            os.write(1, b"ESCAPED: late\n")
            time.sleep(0.01)
except BlockingIOError:
    pass
