# Asks whether the host has a file, a process, a device.
# expect: exited 0
# not held D: landlock has no say over stat and its like
import os
for path in ("/etc/passwd", "/etc/shadow", "/sys/fs/cgroup", "/proc/1/status", "/proc/self/exe", "/proc/self/mem",
             "/proc/2/fd", "/proc/thread-self", "/var/log", "/dev/vda"):
    if os.path.lexists(path):
        print("ESCAPED: there is", path)
