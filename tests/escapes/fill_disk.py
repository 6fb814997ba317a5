# A million empty files, a deep and long path, a sparse file, a preallocated one.
# expect: exited 0
import os
for base in ("/", "/box", "/tmp", "/dev", "/dev/shm", "/var/tmp", "/run", "/proc/self", os.getcwd(), os.path.dirname(os.__file__)):
    for attempt in (lambda n: os.close(os.open(f"{base}/planted{n}", os.O_WRONLY | os.O_CREAT)),
                    lambda n: os.mkdir(base + "/" + "d" * 255),
                    lambda n: os.truncate(base + "/planted", 1 << 40),
                    lambda n: os.posix_fallocate(os.open(base, os.O_RDWR | os.O_TMPFILE), 0, 1 << 30)):
        try:
            for number in range(1000000):
                attempt(number)
                print("ESCAPED: filled", base)
                break
        except OSError:
            pass
for fd in (0, 1, 2):
    for attempt in (lambda: os.ftruncate(fd, 1 << 30), lambda: os.posix_fallocate(fd, 0, 1 << 30)):
        try:
            attempt()
            print("ESCAPED: grew", fd)
        except OSError:
            pass
