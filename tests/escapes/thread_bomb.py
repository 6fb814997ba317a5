# Threads that sleep, until no more can be started.
# expect: process_limit | exited 1 | memory_limit
import threading, time
while True:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
