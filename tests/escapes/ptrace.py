# Attaches to process 1 of its namespace.
# expect: forbidden_syscall
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(101, 16, 1, 0, 0)
print("ESCAPED: the call came back", ctypes.get_errno())
