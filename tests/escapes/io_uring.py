# Sets up a ring through which calls go unfiltered.
# expect: forbidden_syscall
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(425, 0, 0, 0, 0, 0)
print("ESCAPED: the call came back", ctypes.get_errno())
