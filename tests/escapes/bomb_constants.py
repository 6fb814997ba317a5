# A source that costs: constants that a compiler might work out.
# expect: exited 0 | exited 1 | cpu_time_limit | memory_limit | signaled 11
x = ('x' * 10 ** 9, 2 ** 10 ** 9, (0,) * 10 ** 9, 1 << 10 ** 10)
