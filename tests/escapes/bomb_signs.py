# A source of a mebibyte that costs: a million signs before one number.
# expect: exited 0 | exited 1 | cpu_time_limit | memory_limit | signaled 11
x = (
@repeat 1000000 -
1)
