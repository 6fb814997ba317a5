# Asks for namespaces through the call whose flags no filter can see.
# expect: exited 0
import ctypes
libc = ctypes.CDLL(None, use_errno=True)

arguments = (ctypes.c_uint64 * 11)(0x10000000)
if libc.syscall(435, arguments, 88) != -1 or ctypes.get_errno() != 38:
    print("ESCAPED: clone3 is there", ctypes.get_errno())
