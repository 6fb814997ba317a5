# Ten gigabytes on standard output.
# expect: output_limit
import sys
for _ in range(10 << 10):
    sys.stdout.write("x" * (1 << 20))
