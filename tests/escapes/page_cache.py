# Reads every file it may, again and again, so that somebody has to keep them in memory.
# expect: exited 0 | cpu_time_limit | memory_limit | wall_time_limit
import os, sys
for _ in range(3):
    for path in sys.path:
        for folder, _, files in os.walk(path):
            for name in files:
                try:
                    fd = os.open(folder + "/" + name, os.O_RDONLY)
                except OSError:
                    continue
                while os.read(fd, 1 << 20):
                    pass
                os.close(fd)
