# Executes what has more rights than itself, or would do its work outside of the interpreter.
# expect: exited 0
import os
for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"):
    for name in ("su", "sudo", "passwd", "mount", "umount", "newgrp", "pkexec", "sh", "bash", "env", "cat", "busybox", "g++"):
        try:
            # Most programs say their own name when they do not know an option.
            os.execv(f"{folder}/{name}", ["ESCAPED", "--nonsense"])
        except OSError:
            pass
