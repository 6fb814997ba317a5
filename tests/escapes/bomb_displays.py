# A source of a mebibyte that costs: a list of two hundred thousand lists.
# expect: exited 0 | exited 1 | cpu_time_limit | memory_limit | signaled 11
x = [
@repeat 200000 1,[],
]
