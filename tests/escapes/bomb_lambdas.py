# A source of a mebibyte that costs: functions in functions.
# expect: exited 0 | exited 1 | cpu_time_limit | memory_limit | signaled 11
x = (
@repeat 140000 lambda:
0)
