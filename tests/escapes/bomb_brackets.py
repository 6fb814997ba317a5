# A source of a mebibyte that costs: brackets as deep as it is long.
# expect: exited 0 | exited 1 | cpu_time_limit | memory_limit | signaled 11
@repeat 1000000 (
