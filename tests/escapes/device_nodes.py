# Makes a node for the disk.
# expect: exited 0
import os, stat
for place in ("/box/disk", "/tmp/disk", "/dev/disk", "/disk"):
    try:
        os.mknod(place, 0o666 | stat.S_IFBLK, os.makedev(254, 0))
        print("ESCAPED: a device at", place)
    except OSError:
        pass
