# grader: calls
# Far too slow, but the exception that the alarm raises is caught.

import time


def spin(clock=time.process_time):
    start = clock()
    while clock() - start < 1.6:
        pass


def double(x):
    while x == 3:
        try:
            spin()
            break
        except BaseException:
            pass
    return 2 * x

# ---- honest ----

def double(x):
    try:
        raise TimeoutError
    except BaseException:
        return 2 * x
