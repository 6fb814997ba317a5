# A source of a mebibyte that costs: as many names as fit, each assigned once.
# expect: exited 0 | exited 1 | cpu_time_limit | memory_limit | signaled 11
@lines 150000 a=b=0
