# A source of a mebibyte that costs: as many classes as fit.
# expect: exited 0 | exited 1 | cpu_time_limit | memory_limit | signaled 11
@lines 80000 class A: x=0
