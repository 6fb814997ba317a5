# The magic links of procfs: memory, descriptors, root of any process.
# expect: exited 0
import os
for process in ("self", "1", "2", "thread-self", str(os.getpid())):
    for name in ("mem", "fd", "root", "cwd", "exe", "maps", "ns", "status", "oom_score_adj"):
        path = f"/proc/{process}/{name}"
        if os.path.lexists(path):
            print("ESCAPED: there is", path)
