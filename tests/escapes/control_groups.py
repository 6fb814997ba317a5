# Writes to control groups and to its oom score, names a release agent, raises its own limits.
# expect: exited 0
import os, resource
for base in ("/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/cgroup", "/proc/self/cgroup"):
    for name in ("", "cgroup.procs", "memory.max", "memory.limit_in_bytes", "pids.max", "release_agent",
                 "notify_on_release", "cgroup.event_control"):
        for flags in (os.O_RDONLY, os.O_WRONLY):
            try:
                print("ESCAPED:", os.open(os.path.join(base, name), flags))
            except OSError:
                pass
    try:
        print("ESCAPED:", os.mkdir(base + "/own"))
    except OSError:
        pass
try:
    print("ESCAPED:", os.open("/proc/self/oom_score_adj", os.O_WRONLY))
except OSError:
    pass
for limit in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_FSIZE,
              resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK):
    soft, hard = resource.getrlimit(limit)
    try:
        if hard >= 0:
            resource.setrlimit(limit, (hard + 1, hard + 1))
            print("ESCAPED: raised", limit)
    except (OSError, ValueError):
        pass
