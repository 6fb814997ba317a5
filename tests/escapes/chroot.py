# Changes its root directory.
# expect: forbidden_syscall
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(161, b"/")
print("ESCAPED: the call came back", ctypes.get_errno())
