# Creates, deepens, links and fills wherever it can.
# expect: exited 0
import os
for base in ("/", "/box", "/tmp", "/dev", "/dev/fd", "/usr", "/usr/lib", "/etc", "/proc", "/home", "/var/tmp", "/run"):
    for attempt in (lambda p: open(p, "w").write("x"), os.mkdir, lambda p: os.makedirs(p + "/" + "d/" * 100),
                    lambda p: os.symlink("/etc/shadow", p), lambda p: os.link("/box/main.py", p),
                    lambda p: os.mkfifo(p), lambda p: os.mknod(p)):
        try:
            attempt(base + "/planted")
            print("ESCAPED: wrote below", base)
        except OSError:
            pass
for change in (lambda: os.remove("/box/main.py"), lambda: os.chmod("/box/main.py", 0o777),
               lambda: os.rename("/box/main.py", "/box/other.py"), lambda: open("/box/main.py", "a"),
               lambda: os.truncate("/box/main.py", 0), lambda: os.chmod("/dev/stdin", 0o777)):
    try:
        change()
        print("ESCAPED: changed the box")
    except OSError:
        pass
