# grader: printed
# The same for a program that prints.

import os

os.write(1, b"PASSED\n")
os._exit(0)

# ---- honest ----

import os

os.write(1, b"%d\n" % (2 * int(input())))
print(end="", flush=True)
os.write(2, b"PASSED\n")
