# Every kind of socket there is.
# expect: exited 0
import socket
for family in range(0, 46):
    for kind in (1, 2, 3, 5):
        try:
            made = socket.socket(family, kind, 0)
            print("ESCAPED: a socket", family, kind)
        except OSError:
            pass
try:
    a, b = socket.socketpair()
    a.connect("\0neighbour")
    print("ESCAPED: reached an abstract socket")
except OSError:
    pass
