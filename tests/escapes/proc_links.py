# The magic links of procfs: memory, descriptors, root of any process.
# expect: exited 0
import os
def read(path):
    with open(path, "rb", buffering=0) as file:
        return file.read(1)
def write(path):
    return os.open(path, os.O_WRONLY)
for process in ("self", "1", "2", "thread-self", str(os.getpid()), str(os.getpid() - 1)):
    for name in ("mem", "fd", "root", "cwd", "exe", "maps", "ns", "status", "oom_score_adj", "root/etc/passwd",
                 "fd/0", "fd/3", "map_files", "task", "comm", "syscall", "stack", "io"):
        path = f"/proc/{process}/{name}"
        for attempt in (os.listdir, read, write):
            try:
                found = attempt(path)
            except OSError:
                continue
            # Its own input again, which is empty; its source; its interpreter.
            if (name, found) != ("fd/0", b"") and name not in ("cwd", "exe"):
                print("ESCAPED:", attempt.__name__, path, found)
for name in ("1/exe", "2/exe", "1/cwd", "1/root", "1/fd/0", "1/ns/pid"):
    try:
        print("ESCAPED:", os.readlink("/proc/" + name))
    except OSError:
        pass
