# A lock on a file that every slot shows is a channel between slots.
# expect: exited 0
import fcntl, os
fd = os.open(os.__file__, os.O_RDONLY)
for attempt in (lambda: fcntl.flock(fd, fcntl.LOCK_SH), lambda: fcntl.lockf(fd, fcntl.LOCK_SH),
                lambda: fcntl.fcntl(fd, 1024, 0), lambda: fcntl.fcntl(fd, 1026, 1)):
    try:
        attempt()
        print("ESCAPED: locked")
    except OSError:
        pass
