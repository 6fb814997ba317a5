# A source of a mebibyte that costs: a sum of half a million terms.
# expect: exited 0 | exited 1 | cpu_time_limit | memory_limit | signaled 11
x = (0
@repeat 500000 +1
)
