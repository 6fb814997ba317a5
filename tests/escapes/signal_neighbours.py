# Signals those who keep it, by every call and by number: its parent, its namespace's first, its interpreter.
# expect: exited 0
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
own = os.getpid()
info = (ctypes.c_int * 32)(signal.SIGSTOP, 0, -1)
targets = {1, 2, os.getppid(), *range(3, 40), *range(max(3, own - 300), own + 300), -own - 1} - {0, own}
KILL, TKILL, TGKILL, QUEUE, OPEN = 62, 200, 234, 129, 434
for pid in targets:
    for number, arguments in ((KILL, (pid, signal.SIGSTOP)), (KILL, (pid, 0)), (TKILL, (pid, signal.SIGSTOP)),
                              (TGKILL, (pid, pid, signal.SIGSTOP)), (QUEUE, (pid, signal.SIGSTOP, info)),
                              (OPEN, (pid, 0))):
        if libc.syscall(number, *arguments) != -1:
            print("ESCAPED: call", number, "reached", pid)
