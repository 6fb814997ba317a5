# A source of a mebibyte that costs: strings side by side and in each other.
# expect: exited 0 | exited 1 | cpu_time_limit | memory_limit | signaled 11
x = (
@repeat 110000 f'{1}' ''
)
