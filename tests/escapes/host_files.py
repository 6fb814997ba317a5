# Reads what a host keeps to itself.
# expect: exited 0
import os
for path in ("/etc/shadow", "/etc/passwd", "/etc/hostname", "/etc/ssh", "/root", "/home", "/var", "/proc/1/environ",
             "/proc/self/environ", "/proc/1/cmdline", "/proc/cpuinfo", "/proc/mounts", "/sys", "/run",
             "/dev/shm", "/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/kvm", "/dev/tty"):
    try:
        found = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(100)
    except OSError:
        continue
    if found and not os.path.realpath(os.__file__).startswith(path):
        print("ESCAPED: read", path, found)
