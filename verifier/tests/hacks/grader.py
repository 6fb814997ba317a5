"""A grader as many are: the submission runs in the grader's own process, and what that process says is believed.

It is the fixture that the programs beside it are written against; nothing of it is used to judge. Its argument says how
it tests. The verdict is its last line ("PASSED") for all but `asserts`, where it is the exit code.
"""

import io
import json
import os
import signal
import sys
import time
import types
import unittest

LIMIT = 1.0
TESTS = json.load(open("tests.json"))
os.environ["TESTS"] = json.dumps(TESTS)


def check(got, expected):
    from decimal import Decimal

    if isinstance(got, float) or isinstance(expected, float):
        return Decimal(got) == Decimal(expected)
    return got == expected


def load(source):
    module = types.ModuleType("submission")
    sys.modules["submission"] = module
    exec(compile(source, "submission.txt", "exec"), module.__dict__)
    return module.Solution() if hasattr(module, "Solution") else module


def too_slow(number, frame):
    raise TimeoutError


def call_one(function, test):
    expected = json.loads(test["output"])
    arguments = [json.loads(line) for line in test["input"].splitlines()]
    signal.signal(signal.SIGALRM, too_slow)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    got = function(*arguments)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return check(got, expected)


def calls(source):
    """As call-based graders do: results compared with `==`."""
    function = load(source).double
    results = []
    for test in TESTS:
        results.append(call_one(function, test))
        if not results[-1]:
            break
    return all(results)


def clock(source):
    """The same without an alarm: the time is taken before and after."""
    function = load(source).double
    for test in TESTS:
        start = time.time()
        got = function(*[json.loads(line) for line in test["input"].splitlines()])
        if got != json.loads(test["output"]) or time.time() - start > LIMIT:
            return False
    return True


def printed(source):
    """As stdin graders do: the streams replaced, the output looked for in what was printed."""
    stdout = sys.stdout
    for test in TESTS:
        expected = test["output"].strip()
        sys.stdin, sys.stdout = io.StringIO(test["input"]), io.StringIO()
        try:
            exec(compile(source, "submission.txt", "exec"), {"__name__": "__main__"})
        except SystemExit:
            pass
        output, sys.stdout = sys.stdout.getvalue(), stdout
        if expected not in output.split("\n"):
            return False
    return True


def asserts(source):
    """As HumanEval and MBPP do: the tests are appended to the program, and it must end well."""
    tests = "".join(f"assert double({test['input']}) == {test['output']}\n" for test in TESTS)
    exec(compile(source + "\n" + tests, "submission.txt", "exec"), {"__name__": "__main__"})
    return True


def unit(source):
    """As BigCodeBench does: a test case class, and what its result object says."""
    function = load(source).double

    class Doubles(unittest.TestCase):
        def test_double(self):
            for test in TESTS:
                self.assertEqual(function(json.loads(test["input"])), json.loads(test["output"]))

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Doubles)
    return unittest.TextTestRunner(stream=io.StringIO()).run(suite).wasSuccessful()


def piped(source):
    """A worker that reports a line for each test through a descriptor; the first lines are the ones that count."""
    reading, writing = os.pipe()
    function = load(source).double
    for test in TESTS:
        got = function(json.loads(test["input"]))
        os.write(writing, b"right\n" if got == json.loads(test["output"]) else b"wrong\n")
    lines = os.read(reading, 1 << 16).split(b"\n")
    return all(line == b"right" for line in lines[: len(TESTS)])


mode = {"calls": calls, "clock": clock, "printed": printed, "asserts": asserts, "unit": unit, "piped": piped}
passed = mode[sys.argv[1]](open("submission.txt").read())
print("PASSED" if passed else "FAILED")
sys.exit(0 if passed else 1)
