# Raises its own limits.
# expect: exited 0
import os, resource
for base in ("/sys/fs/cgroup", "/cgroup", "/proc/self/cgroup", "/proc/self/oom_score_adj"):
    if os.path.exists(base):
        print("ESCAPED: there is", base)
for limit in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
    soft, hard = resource.getrlimit(limit)
    try:
        if hard >= 0:
            resource.setrlimit(limit, (hard + 1, hard + 1))
            print("ESCAPED: raised", limit)
    except (OSError, ValueError):
        pass
