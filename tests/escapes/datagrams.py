# A datagram needs no connection, so an unnamed pair is enough to send to a name.
# expect: exited 0
import errno, socket
for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    for address in ("/dev/log", "/run/systemd/notify", "/run/docker.sock", "/var/run/dbus/system_bus_socket",
                    "\0neighbour", "\0/tmp/.X11-unix/X0"):
        try:
            one.sendto(b"hello", address)
            print("ESCAPED: sent to", address)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.EACCES):
                print("ESCAPED: the kernel looked for", address, error)
