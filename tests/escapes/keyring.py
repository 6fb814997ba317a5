# Leaves a note for the next run in a keyring.
# expect: forbidden_syscall
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(250, 0, 0, 0, 0, 0)
print("ESCAPED: the call came back", ctypes.get_errno())
