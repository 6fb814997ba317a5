# A source of a mebibyte that costs: one branch after the other.
# expect: exited 0 | exited 1 | cpu_time_limit | memory_limit | signaled 11
if 0: pass
@lines 80000 elif 0: 0
