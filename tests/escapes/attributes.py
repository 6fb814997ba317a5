# Leaves a mark on what it may only read: a time, a mode, an owner, an extended attribute.
# expect: exited 0
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
places = ("/", "/box", "/tmp", "main.py", ".", "/dev/null", "/dev/stdin", os.__file__, os.path.dirname(os.__file__), sys.executable)
for place in places:
    for change in (lambda: os.utime(place, (1, 1)), lambda: os.chmod(place, 0o777), lambda: os.chown(place, os.getuid(), -1),
                   lambda: os.setxattr(place, "user.note", b"x"), lambda: os.removexattr(place, "user.note"),
                   lambda: os.fchmod(os.open(place, os.O_RDONLY | os.O_NONBLOCK), 0o777),
                   lambda: os.utime(os.open(place, os.O_RDONLY | os.O_NONBLOCK), (1, 1))):
        try:
            change()
            print("ESCAPED: marked", place)
        except OSError:
            pass
    for number, arguments in ((132, (place.encode(), 0)), (235, (place.encode(), 0)), (261, (-100, place.encode(), 0)),
                              (452, (-100, place.encode(), 0o777, 0))):
        if libc.syscall(number, *arguments) != -1:
            print("ESCAPED: call", number, "marked", place)
