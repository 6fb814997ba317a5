# Handles page faults of the kernel in user space.
# expect: forbidden_syscall
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(323, 0, 0, 0, 0, 0)
print("ESCAPED: the call came back", ctypes.get_errno())
