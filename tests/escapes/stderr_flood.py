# Ten gigabytes on standard error, nothing on standard output.
# expect: output_limit
import sys
for _ in range(10 << 10):
    sys.stderr.write("x" * (1 << 20))
