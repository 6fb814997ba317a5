# grader: calls
# The same through a generator's frame.

def double(x):
    def walk():
        frame = generator.gi_frame.f_back
        while "expected" not in frame.f_locals:
            frame = frame.f_back
        yield frame.f_locals["expected"]

    generator = walk()
    return next(generator)

# ---- honest ----

def double(x):
    def walk():
        yield generator.gi_frame.f_back.f_locals["x"] * 2

    generator = walk()
    return next(generator)
