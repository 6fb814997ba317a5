# Puts a filter of its own before ours, which would answer for us or hand calls to a process of its own.
# expect: exited 0
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]
allow = ctypes.create_string_buffer(bytes.fromhex("060000000000ff7f"), 8)
program = Program(1, ctypes.addressof(allow))
for flags in (0, 1, 2, 8):
    if libc.syscall(317, 1, flags, ctypes.byref(program)) != -1:
        print("ESCAPED: installed a filter")
if libc.prctl(22, 2, ctypes.byref(program)) != -1:
    print("ESCAPED: installed a filter by prctl")
for option in (4, 24, 28, 38):
    if libc.prctl(option, 1, 0, 0, 0) != -1:
        print("ESCAPED: prctl", option)
