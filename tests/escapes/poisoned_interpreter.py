# Writes into the interpreter that the next run starts from.
# expect: exited 0
import os, site, sys, sysconfig
places = {os.path.dirname(os.__file__), sys.prefix, sys.executable, *site.getsitepackages(), *sys.path}
for place in places:
    for name in ("", "/sitecustomize.py", "/usercustomize.py", "/__pycache__/os.cpython-311.pyc", "/os.py", "/x.pth"):
        try:
            open(place + name, "r+b")
            print("ESCAPED: opened for writing", place + name)
        except OSError:
            pass
        try:
            open(place + name + "new", "wb")
            print("ESCAPED: made", place + name)
        except OSError:
            pass
