# Reads and sets what other processes have: limits, cores, priority, session, clocks.
# expect: exited 0
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
own = os.getpid()
space = (ctypes.c_long * 64)(*[1] * 64)
PRLIMIT, SETAFFINITY, SETSCHEDULER, SETPARAM, SETATTR, SETPRIORITY, SETPGID, GETTIME = 302, 203, 144, 142, 314, 141, 109, 228
for pid in {1, os.getppid(), *range(3, 40), *range(max(3, own - 100), own + 100)} - {0, own}:
    clock = ctypes.c_int((~pid << 3) | 2)
    for number, arguments in ((PRLIMIT, (pid, 7, space, 0)), (PRLIMIT, (pid, 7, 0, space)), (SETAFFINITY, (pid, 8, space)),
                              (SETSCHEDULER, (pid, 0, space)), (SETPARAM, (pid, space)), (SETATTR, (pid, space, 0)),
                              (SETPRIORITY, (0, pid, 19)), (SETPGID, (pid, pid))):
        if libc.syscall(number, *arguments) != -1:
            print("ESCAPED: call", number, "reached", pid)
    # In a namespace of its own the first process may be asked.
    if pid != 1 and libc.syscall(GETTIME, clock, space) != -1:
        print("ESCAPED: the clock of", pid)
