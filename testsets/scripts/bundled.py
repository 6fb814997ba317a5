#!/usr/bin/env python3
"""Makes and checks the tests of the bundled code problems.

    bundled.py make [ID...]    write the tests into each problem.json and the example into each statement.md
    bundled.py check [ID...]   run every program on every test as a plain process and compare with its file name

Inputs come from this file, with a fixed seed for each problem. Expected outputs come from accepted.py, and slow.py, which
solves the same problem by brute force, must agree on every test that it finishes and on further random small inputs. A program's
file name up to the first `_` or `.` says what must become of it. Only for the programs in this repository: nothing
here is a sandbox.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CODE = Path(__file__).resolve().parent.parent / "data" / "code"
# The problems' own CPU limit is 1 s; a slow program must need many times as much.
SLOW_MEANS, ACCEPTED_MEANS = 5.0, 0.5
MEANS = {
    "accepted": "accepted",
    "wrong": "wrong_answer",
    "slow": "time_limit_exceeded",
    "crash": "runtime_error",
    "memory": "memory_limit_exceeded",
    "loud": "output_limit_exceeded",
    "broken": "compile_error",
    "silent": "no_answer",
}
DRIVER = """
import json, sys
from typing import *
lines = sys.stdin.read().split("\\n")
namespace = dict(globals())
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), namespace)
owner = namespace.get("Solution")
function = getattr(owner(), sys.argv[2]) if owner else namespace[sys.argv[2]]
print(json.dumps(function(*[json.loads(line) for line in lines])))
"""


# Inputs: for each problem its edge cases, a maker of small random inputs, and a maker of large ones. Inputs of
# functional problems are tuples of arguments, of the others texts.


def lines(*rows):
    return "\n".join(" ".join(map(str, row)) if isinstance(row, (list, tuple)) else str(row) for row in rows) + "\n"


def numbers(r, count, low, high):
    return [r.randint(low, high) for _ in range(count)]


def letters(r, count, alphabet):
    return "".join(r.choice(alphabet) for _ in range(count))


def roads(r, n, m, price):
    return [(r.randint(1, n), r.randint(1, n), r.randint(0, price)) for _ in range(m)]


def graph(n, edges):
    return lines([n, len(edges)], *edges)


def maze(r, rows, columns, walls):
    cells = [["#" if r.random() < walls else "." for _ in range(columns)] for _ in range(rows)]
    start, end = r.sample([(a, b) for a in range(rows) for b in range(columns)], 2)
    cells[start[0]][start[1]], cells[end[0]][end[1]] = "S", "E"
    return lines([rows, columns], *("".join(row) for row in cells))


def open_maze(rows, columns):
    cells = [["."] * columns for _ in range(rows)]
    cells[0][0], cells[-1][-1] = "S", "E"
    return lines([rows, columns], *("".join(row) for row in cells))


def table(r, n, top):
    return lines(n, *([0 if i == j else r.randint(0, top) for j in range(n)] for i in range(n)))


def land(r, rows, columns, share):
    return ["".join("x" if r.random() < share else "." for _ in range(columns)) for _ in range(rows)]


def strokes(r, n, top):
    return lines(n, *(sorted(numbers(r, 2, 0, top)) for _ in range(n)))


def bells(r, k, top):
    periods = numbers(r, k, 1, top)
    return lines(k, *((p, r.randrange(p)) for p in periods))


def together(r, periods):
    time = r.randrange(10**30)
    return lines(len(periods), *((p, time % p) for p in periods))


def rules(r, n, m):
    order = r.sample(range(1, n + 1), n)
    pairs = [sorted(r.sample(range(n), 2)) for _ in range(m)] if n > 1 else []
    return [[order[a], order[b]] for a, b in pairs]


def any_rules(r, n, m):
    return [r.sample(range(1, n + 1), 2) for _ in range(m)] if n > 1 else []


def task_rules(n, pairs):
    return lines([n, len(pairs)], *pairs)


def backpack(r, n, w, value):
    return lines([n, w], *((r.randint(1, w + 2), r.randint(0, value)) for _ in range(n)))


def purse(r, k, s, top):
    return lines([k, s], r.sample(range(1, top + 1), k))


def grid(r, rows, columns, walls):
    cells = [["#" if r.random() < walls else "." for _ in range(columns)] for _ in range(rows)]
    cells[0][0] = cells[-1][-1] = "."
    return ["".join(row) for row in cells]


def shuffled(r, n):
    return r.sample(range(1, n + 1), n)


INPUTS = {
    "lamp-toggles": (
        ["10\n", "0\n", "1\n", "3\n", "4\n", "99\n", "600\n"],
        lambda r: f"{r.randint(0, 300)}\n",
        lambda r: ["999999\n", "1000000000000\n", "999999999999999999\n", "1000000000000000000\n"],
    ),
    "range-multiples": (
        ["1 10\n", "1 1\n", "3 3\n", "15 15\n", "14 16\n", "1 1000\n"],
        lambda r: lines(sorted(numbers(r, 2, 1, 300))),
        lambda r: ["1 100000\n", "1 1000000000000\n", "123456789 987654321987\n"],
    ),
    "stair-ways": (
        ["4\n", "0\n", "1\n", "2\n", "3\n", "10\n"],
        lambda r: f"{r.randint(0, 15)}\n",
        lambda r: ["60\n", "1000\n", "20000\n"],
    ),
    "coin-purse": (
        [lines([3, 10], [1, 2, 5]), lines([1, 0], [7]), lines([1, 5], [2]), lines([2, 3], [5, 4]), lines([2, 6], [6, 3])],
        lambda r: purse(r, r.randint(1, 4), r.randint(0, 30), 12),
        lambda r: [lines([20, 300], list(range(1, 21))), lines([20, 5000], list(range(1, 21))), purse(r, 12, 4999, 40)],
    ),
    "fair-split": (
        [lines(4, [3, 1, 4, 2]), lines(1, [7]), lines(1, [0]), lines(3, [0, 0, 0]), lines(5, [3, 3, 2, 2, 2]), lines(2, [5, 5])],
        lambda r: (lambda n: lines(n, numbers(r, n, 0, 40)))(r.randint(1, 9)),
        lambda r: [lines(60, numbers(r, 60, 0, 1000)), lines(59, [1000] * 59)],
    ),
    "power-tail": (
        ["2 10 1000\n", "0 0 5\n", "0 0 1\n", "0 9 7\n", "5 0 1\n", "2 3 6\n", "7 100 9\n"],
        lambda r: lines([r.randint(0, 50), r.randint(0, 200), r.randint(1, 99)]),
        lambda r: ["999999937 999999999999999999 1000000000\n", "123456789 1000000000000000000 999999937\n"],
    ),
    "rabbit-months": (
        ["10 1000\n", "0 7\n", "1 1\n", "2 1\n", "90 1000000000\n", "100 999999937\n"],
        lambda r: lines([r.randint(0, 300), r.randint(1, 1000)]),
        lambda r: ["1000000000000000000 1000000000\n", "999999999999999989 998244353\n"],
    ),
    "survivor-circle": (
        ["5\n", "2\n", "4\n", "1\n", "7\n", "8\n", "9\n"],
        lambda r: f"{r.randint(1, 2000)}\n",
        lambda r: ["1000000000000000000\n", "576460752303423488\n"],
    ),
    "divisor-count": (
        ["12\n", "1\n", "4\n", "36\n", "97\n", "9998\n"],
        lambda r: f"{r.randint(1, 5000)}\n",
        lambda r: ["9777287520\n", "9999999967\n", "10000000000\n"],
    ),
    "prime-count": (
        ["10\n", "1\n", "2\n", "3\n", "4\n", "0\n", "25\n", "1000\n"],
        lambda r: f"{r.randint(0, 400)}\n",
        lambda r: ["200000\n"],
    ),
    "rising-run": (
        [lines(6, [3, 1, 4, 1, 5, 9]), lines(2, [2, 1]), lines(3, [7, 7, 7]), lines(1, [-5]), lines(5, [1, 2, 3, 4, 5])],
        lambda r: (lambda n: lines(n, numbers(r, n, -8, 8)))(r.randint(1, 10)),
        lambda r: [lines(200, numbers(r, 200, 0, 10**6)), lines(2000, numbers(r, 2000, -(10**9), 10**9)), lines(1500, list(range(1500)))],
    ),
    "backpack": (
        [lines([3, 5], [2, 3], [3, 4], [4, 5]), lines([1, 0], [1, 9]), lines([1, 3], [3, 0]), lines([2, 4], [5, 9], [6, 1]), lines([1, 6], [2, 5])],
        lambda r: backpack(r, r.randint(1, 7), r.randint(1, 20), 50),
        lambda r: [lines([60, 2000], *((r.randint(1, 60), r.randint(0, 10**6)) for _ in range(60)))],
    ),
    "cheapest-route": (
        [graph(4, [(1, 2, 5), (2, 4, 9), (1, 3, 4), (3, 4, 7), (1, 4, 20)]), graph(1, []), graph(2, [(1, 2, 0)]), graph(2, [(1, 2, 8), (2, 1, 6), (1, 1, 1)]), graph(2, []), graph(3, [(1, 2, 1)])],
        lambda r: (lambda n: graph(n, roads(r, n, r.randint(0, 10), 20)))(r.randint(1, 6)),
        lambda r: [graph(200, roads(r, 200, 1000, 10**9)), graph(30, [(i, j, r.randint(100 * (j - i), 130 * (j - i))) for i in range(1, 31) for j in range(i + 1, 31)])],
    ),
    "maze-steps": (
        ["3 3\nS..\n.#.\n..E\n", "1 2\nSE\n", "1 3\nS#E\n", "3 2\nS#\n##\n#E\n", "2 3\nS#E\n...\n", "4 4\nS...\n###.\nE..#\n...#\n"],
        lambda r: maze(r, r.randint(1, 4), r.randint(2, 5), 0.25),
        lambda r: [open_maze(12, 12), maze(r, 40, 40, 0.2), open_maze(40, 40)],
    ),
    "courier-loop": (
        [lines(3, [0, 1, 9], [9, 0, 2], [3, 9, 0]), lines(2, [0, 4], [6, 0]), lines(1, [0]), lines(4, [0, 1, 2, 9], [1, 0, 9, 2], [2, 9, 0, 1], [9, 2, 1, 0])],
        lambda r: table(r, r.randint(1, 6), 30),
        lambda r: [table(r, 12, 10**6), table(r, 12, 9)],
    ),
    "digit-sum-count": (
        ["20 2\n", "1 1\n", "10 1\n", "9 9\n", "9 10\n", "999 27\n", "1000 1\n", "300 200\n"],
        lambda r: lines([r.randint(1, 3000), r.randint(1, 20)]),
        lambda r: ["999999999999999999 81\n", "1000000000000000000 1\n", "123456789012345678 60\n"],
    ),
    "painted-wall": (
        [lines(3, [1, 4], [2, 6], [8, 10]), lines(1, [5, 5]), lines(2, [0, 9], [3, 4]), lines(2, [0, 3], [3, 6]), lines(0), lines(2, [0, 0], [7, 9])],
        lambda r: strokes(r, r.randint(0, 6), 30),
        lambda r: [strokes(r, 500, 10**12), lines(300, *((i * 10**9, i * 10**9 + r.randint(1, 2 * 10**9)) for i in range(300)))],
    ),
    "three-bells": (
        [lines(3, [3, 2], [5, 3], [7, 2]), lines(1, [1, 0]), lines(2, [2, 0], [3, 1]), lines(2, [4, 1], [6, 3]), lines(2, [4, 1], [6, 2]), lines(1, [1000, 999]), lines(3, [6, 5], [10, 9], [15, 14])],
        lambda r: bells(r, r.randint(1, 3), 12),
        lambda r: [together(r, [997, 991, 983, 977, 971, 967, 953, 947]), together(r, [1000, 999, 998, 997, 996, 995, 994, 993]), bells(r, 8, 1000)],
    ),
    "domino-strip": (
        ["4\n", "2\n", "3\n", "6\n", "8\n", "0\n", "1\n"],
        lambda r: f"{r.randint(0, 11)}\n",
        lambda r: ["48\n", "9999\n", "10000\n"],
    ),
    "cable-cutting": (
        [lines([3, 5], [10, 7, 5]), lines([1, 1], [1]), lines([1, 2], [1]), lines([2, 3], [5, 5]), lines([2, 1], [9, 100]), lines([3, 99], [3, 3, 3])],
        lambda r: (lambda n: lines([n, r.randint(1, 25)], numbers(r, n, 1, 60)))(r.randint(1, 6)),
        lambda r: [lines([200, 1000], numbers(r, 200, 1, 10**12)), lines([200, 10**12], numbers(r, 200, 10**11, 10**12))],
    ),
    "pebble-game": (
        [lines([7, 3], [1, 3, 4]), lines([5, 2], [1, 2]), lines([6, 2], [1, 2]), lines([0, 1], [1]), lines([3, 1], [5]), lines([9, 2], [2, 5])],
        lambda r: lines([r.randint(0, 14), 3], r.sample(range(1, 8), 3)),
        lambda r: [lines([300, 3], [1, 2, 4]), lines([5000, 10], r.sample(range(1, 40), 10)), lines([4999, 3], [1, 2, 4])],
    ),
    "wire-mesh": (
        [graph(4, [(1, 2, 3), (2, 3, 4), (1, 3, 5), (3, 4, 1)]), graph(2, [(1, 2, 0)]), graph(4, [(1, 2, 1), (3, 4, 1), (2, 3, 9)]), graph(3, [(1, 2, 4), (2, 1, 3), (2, 2, 0)]), graph(1, []), graph(2, [])],
        lambda r: (lambda n: graph(n, roads(r, n, r.randint(0, 7), 20)))(r.randint(1, 5)),
        lambda r: [graph(100, [(i, i + 1, r.randint(0, 10**6)) for i in range(1, 100)] + roads(r, 100, 501, 10**6)), graph(100, roads(r, 100, 90, 10**6))],
    ),
    "task-orders": (
        [task_rules(3, [(1, 2)]), task_rules(1, []), task_rules(4, [(1, 2), (3, 4)]), task_rules(4, []), task_rules(3, [(1, 2), (1, 2), (2, 3)]), task_rules(3, [(1, 2), (2, 1)]), task_rules(2, [(1, 2), (2, 1)])],
        lambda r: (lambda n: task_rules(n, rules(r, n, r.randint(0, 6))))(r.randint(1, 6)),
        lambda r: [task_rules(13, []), task_rules(13, rules(r, 13, 12)), task_rules(13, rules(r, 13, 60))],
    ),
    "bracket-finish": (
        ["6\n(\n", "2\n(\n", "2\n()\n", "4\n((\n", "5\n(\n", "8\n(()\n", "4\n())(\n", "4\n((((\n"],
        lambda r: (lambda n: f"{n}\n{letters(r, r.randint(1, n), '(()')}\n")(r.randint(2, 12)),
        lambda r: ["300\n(\n", f"300\n{'(' * 40}\n", "60\n(()(\n"],
    ),
    "weekday-far": (
        ["2000\n", "1\n", "2\n", "4\n", "5\n", "101\n", "401\n", "1900\n", "2024\n"],
        lambda r: f"{r.randint(1, 3000)}\n",
        lambda r: ["1000000000000000\n", "999999999999601\n"],
    ),
    "dice-odds": (
        ["2 6 7\n", "1 6 1\n", "1 6 0\n", "1 1 1\n", "3 4 12\n", "2 6 20\n", "3 6 11\n"],
        lambda r: lines([r.randint(1, 4), r.randint(1, 6), r.randint(0, 26)]),
        lambda r: ["60 20 630\n", "60 6 210\n", "60 20 2000\n"],
    ),
    "stamp-change": (
        [lines([3, 11], [1, 2, 5]), lines([3, 6], [1, 3, 4]), lines([1, 0], [4]), lines([2, 7], [1, 7]), lines([2, 12], [5, 6]), lines([2, 3], [2, 4])],
        lambda r: purse(r, r.randint(1, 3), r.randint(0, 20), 9),
        lambda r: [lines([4, 300], [3, 7, 11, 13]), lines([12, 5000], r.sample(range(1, 60), 12)), lines([4, 4999], [3, 7, 11, 13])],
    ),
    "best-skips": (
        [([4, 1, 2, 9],), ([5, 1, 1, 5],), ([-3],), ([-1, -2, -3],), ([2, 2, 2, 2, 2],), ([1, -2, -3, 4, 5, -6],), ([],)],
        lambda r: (numbers(r, r.randint(0, 10), -9, 20),),
        lambda r: [(numbers(r, 80, 1, 99),), (numbers(r, 1000, -(10**6), 10**6),), ([10**6] * 999,)],
    ),
    "grid-walks": (
        [(["...", ".#.", "..."],), (["."],), (["#"],), (["..", ".."],), ([".#", "#."],), ([".....", ".#.#.", "....."],), ([".", ".", "."],)],
        lambda r: (grid(r, r.randint(1, 5), r.randint(1, 5), 0.2),),
        lambda r: [(grid(r, 30, 30, 0.05),), (["." * 30] * 30,)],
    ),
    "common-thread": (
        [("planet", "lantern"), ("ab", "ba"), ("x", "x"), ("x", "y"), ("aaa", "aa"), ("abcabc", "cbacba"), ("", "abc"), ("", "")],
        lambda r: (letters(r, r.randint(0, 7), "abc"), letters(r, r.randint(0, 7), "abc")),
        lambda r: [(letters(r, 300, "abcd"), letters(r, 300, "abcd")), ("a" * 150 + "b" * 150, "b" * 150 + "a" * 150)],
    ),
    "typo-distance": (
        [("form", "from"), ("", ""), ("a", ""), ("kitten", "sitting"), ("ab", "ba"), ("ca", "abc"), ("letter", "leter"), ("abcd", "badc")],
        lambda r: (letters(r, r.randint(0, 6), "abc"), letters(r, r.randint(0, 6), "abc")),
        lambda r: [(letters(r, 200, "abcde"), letters(r, 200, "abcde")), (letters(r, 150, "ab"), letters(r, 120, "ab"))],
    ),
    "equal-halves": (
        [([3, 1, 2],), ([2],), ([1, 1],), ([3, 5],), ([1, 2, 5],), ([4, 4, 3, 3, 2, 2],), ([],)],
        lambda r: (numbers(r, r.randint(0, 8), 1, 12),),
        lambda r: [([2 * x for x in numbers(r, 59, 1, 499)] + [999],), (numbers(r, 60, 1, 1000),)],
    ),
    "ferry-loads": (
        [([4, 3, 2, 5], 2), ([7], 1), ([5, 5, 5], 2), ([1, 9, 1], 3), ([3, 3, 3, 3], 4), ([7], 3)],
        lambda r: (numbers(r, r.randint(1, 8), 1, 30), r.randint(1, 6)),
        lambda r: [(numbers(r, 500, 1, 10**12), 20), ([10**12] * 500, 7)],
    ),
    "island-count": (
        [(["xx.", "..x", "x.x"],), (["."],), (["x"],), (["..", ".."],), (["x.", ".x"],), (["xxxx", "x..x", "xxxx"],), (["x.x.x"],)],
        lambda r: (land(r, r.randint(1, 5), r.randint(1, 5), 0.5),),
        lambda r: [(["x" * 40] * 40,), (land(r, 40, 40, 0.6),)],
    ),
    "word-cuts": (
        [("aaa", ["a", "aa"]), ("abab", ["ab", "abab", "a", "b"]), ("x", ["y"]), ("", ["a"]), ("abc", ["ab", "bc"]), ("aab", ["a", "ab"]), ("q", [])],
        lambda r: (letters(r, r.randint(0, 8), "ab"), sorted({letters(r, r.randint(1, 3), "ab") for _ in range(3)})),
        lambda r: [("a" * 200, ["a", "aa", "aaa"]), ("ab" * 100, ["a", "b", "ab", "ba", "aba"])],
    ),
    "chain-cost": (
        [([4, 1, 3],), ([5, 5],), ([1, 2, 3, 4],), ([6, 1, 1, 6],), ([1, 9, 1, 9],), ([8],)],
        lambda r: (numbers(r, r.randint(1, 7), 1, 30),),
        lambda r: [(numbers(r, 50, 1, 10**6),), ([10**6] * 50,)],
    ),
    "mirror-text": (
        [("racket",), ("abcba",), ("ab",), ("z",), ("noontime",), ("bbabcbcab",), ("",)],
        lambda r: (letters(r, r.randint(0, 9), "abc"),),
        lambda r: [(letters(r, 60, "abcd"),), (letters(r, 50, "xyz"),)],
    ),
    "heap-duel": (
        [([1, 2],), ([3],), ([1, 1],), ([1, 2, 3],), ([2, 2, 1],), ([0],), ([],)],
        lambda r: (numbers(r, r.randint(0, 3), 0, 4),),
        lambda r: [(numbers(r, 100, 0, 10**9),), ([10**9, 10**9],), ([5, 9, 12, 7],)],
    ),
    "common-flash": (
        [([4, 6],), ([1],), ([3, 5, 7],), ([10, 4, 6],), ([1, 1, 2],), ([9, 9],)],
        lambda r: (numbers(r, r.randint(1, 4), 1, 12),),
        lambda r: [([997, 991, 983, 977, 971],), (r.sample(range(900, 1001), 20),)],
    ),
    "sum-splits": (
        [(5, 3), (5, 5), (4, 1), (10, 10), (0, 0), (3, 0), (2, 9)],
        lambda r: (r.randint(0, 18), r.randint(0, 18)),
        lambda r: [(250, 250), (1000, 1000), (999, 40), (300, 1000)],
    ),
    "order-rank": (
        [([2, 3, 1],), ([1],), ([1, 2],), ([2, 1],), ([4, 3, 2, 1],), ([1, 3, 2, 4],)],
        lambda r: (shuffled(r, r.randint(1, 6)),),
        lambda r: [(list(range(20, 0, -1)),), (shuffled(r, 20),), (shuffled(r, 14)[:0] + [14] + shuffled(r, 13),)],
    ),
    "first-order": (
        [(4, [[3, 1], [3, 2]]), (1, []), (3, [[3, 2]]), (3, [[2, 1], [3, 1]]), (5, [[5, 1], [1, 4], [2, 4]]), (2, [[1, 2], [2, 1]]), (3, [[1, 1]]), (4, [[4, 1], [2, 3]])],
        lambda r: (lambda n: (n, rules(r, n, r.randint(0, 5)) if r.random() < 0.7 else any_rules(r, n, 4)))(r.randint(1, 6)),
        lambda r: [(100, [[i + 1, i] for i in range(1, 100)]), (100, rules(r, 100, 300))],
    ),
    "turn-tiles": (
        [([[1, 2], [3, 4]], 1), ([[5]], 7), ([[1, 2], [3, 4]], 0), ([[1, 2], [3, 4]], 2), ([[1, 2, 3]], 1), ([[1], [2], [3]], 3), ([[1, 2, 3], [4, 5, 6]], 1002)],
        lambda r: (lambda c: ([numbers(r, c, 0, 9) for _ in range(r.randint(1, 4))], r.randint(0, 30)))(r.randint(1, 4)),
        lambda r: [([numbers(r, 20, -99, 99) for _ in range(15)], 10**15 - 1), ([[1, 2, 3]], 10**15)],
    ),
    "cell-days": (
        [([1, 0, 0, 0, 0, 0, 0, 0], 1), ([0] * 8, 5), ([1] * 8, 1), ([1, 1, 0, 1, 0, 0, 1, 0], 0), ([1, 0, 1, 0, 0, 1, 1, 1], 3), ([0, 1, 1, 0, 0, 0, 0, 1], 2)],
        lambda r: (numbers(r, 8, 0, 1), r.randint(0, 40)),
        lambda r: [(numbers(r, 8, 0, 1), 10**15), ([1, 0, 0, 0, 0, 0, 0, 0], 999999999999999)],
    ),
    "meeting-cost": (
        [([1, 2, 10],), ([5],), ([3, 3],), ([-4, 4],), ([0, 0, 0, 9],), ([7, 1, 5, 3],), ([],)],
        lambda r: (numbers(r, r.randint(0, 7), -30, 30),),
        lambda r: [(numbers(r, 1000, -(10**12), 10**12),), ([-(10**12), 10**12],)],
    ),
    "roll-out": (
        [([["a", 3], ["b", 2]], 3), ([["z", 1]], 0), ([["a", 2], ["b", 1], ["c", 4]], 6), ([["a", 0], ["b", 1]], 0), ([["a", 5]], 4), ([["a", 2]], 2), ([], 0)],
        lambda r: ([[r.choice("abc"), r.randint(0, 4)] for _ in range(r.randint(0, 5))], r.randint(0, 12)),
        lambda r: [([[letters(r, 1, "abcdef"), r.randint(0, 10**14)] for _ in range(200)], 9 * 10**15), ([["a", 10**14], ["b", 1]], 10**14)],
    ),
}


def inputs_of(name):
    """The tests of a problem: edges, a few small random ones, large ones."""
    edges, small, large = INPUTS[name]
    r = random.Random(name)
    tests = list(edges)
    while len(tests) < len(edges) + 3:
        extra = small(r)
        if extra not in tests:
            tests.append(extra)
    tests += large(r)
    return [test if isinstance(test, str) else "\n".join(json.dumps(value) for value in test) for test in tests]


def run(program, text, seconds, func_name, memory=256 << 20, output=1 << 24):
    """(verdict word if it did not end well, else None; stdout) of one plain process."""

    def limits():
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_FSIZE, (output, output))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    if program.suffix == ".py":
        driver = ["-c", DRIVER, str(program), func_name] if func_name else [str(program)]
        command = [sys.executable, *driver]
    else:
        command = [str(program)]
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE, preexec_fn=limits)
        errors = child.communicate(text.encode())[1].decode()
        out.seek(0)
        printed = out.read().decode()
    if len(printed) >= output or "File too large" in errors:
        return "output_limit_exceeded", ""
    if child.returncode in (-24, -9):
        return "time_limit_exceeded", ""
    if "MemoryError" in errors or "bad_alloc" in errors:
        return "memory_limit_exceeded", ""
    if child.returncode != 0:
        return "runtime_error", ""
    if func_name and not printed.strip():
        return "no_answer", ""
    return None, printed.strip()


def same(checker, got, wanted):
    if isinstance(checker, dict):
        try:
            return abs(float(got) - float(wanted)) <= checker["absolute"]
        except ValueError:
            return False
    return [line.strip() for line in got.split("\n")] == [line.strip() for line in wanted.split("\n")]


def load(name):
    problem = json.loads((CODE / name / "problem.json").read_text())
    return problem, problem["task"]


def make(name):
    problem, task = load(name)
    folder, func_name = CODE / name, task.get("func_name")
    accepted, slow = folder / "accepted.py", folder / "slow.py"
    tests, confirmed = [], 0
    for text in inputs_of(name):
        failure, output = run(accepted, text, 10, func_name)
        assert failure is None, (name, text, failure)
        failure, brute = run(slow, text, 1, func_name, memory=1 << 32)
        if failure is None:
            assert same(task["checker"], brute, output), (name, text, brute, output)
            confirmed += 1
        kind = "functional" if func_name else "stdin"
        tests.append({"input": text, "output": output + ("" if func_name else "\n"), "test_type": kind})
    r = random.Random(name + " brute force")
    for _ in range(20):
        text = INPUTS[name][1](r)
        text = text if isinstance(text, str) else "\n".join(json.dumps(value) for value in text)
        (failure, output), (worse, brute) = run(accepted, text, 10, func_name), run(slow, text, 10, func_name)
        assert failure is None and worse is None, (name, text, failure, worse)
        assert same(task["checker"], brute, output), (name, text, brute, output)
    assert len(tests) >= 6 and confirmed >= 5, (name, len(tests), confirmed)
    task["test_cases"] = tests
    (folder / "problem.json").write_text(json.dumps(problem, indent=1, ensure_ascii=False) + "\n")
    statement = (folder / "statement.md").read_text().split("\n**Example")[0].rstrip()
    first = tests[0]
    example = f"\n\n**Example input:**\n\n```\n{first['input'].rstrip()}\n```\n\n**Example output:**\n\n```\n{first['output'].rstrip()}\n```\n"
    (folder / "statement.md").write_text(statement + example)
    return f"{name}: {len(tests)} tests, {confirmed} confirmed by brute force, {(folder / 'problem.json').stat().st_size} bytes"


def verdict(program, task, folder):
    """(verdict, index of the first test that is not right) of one program."""
    if program.suffix == ".cpp":
        binary = Path(folder) / f"{program.parent.name}-{program.stem}"
        compiled = subprocess.run(["g++", "-std=c++17", "-O2", "-o", binary, program], capture_output=True)
        if compiled.returncode != 0:
            return "compile_error", None
        program = binary
    seconds = SLOW_MEANS if program.name.startswith("slow") or "-slow" in program.name else 1
    for at, test in enumerate(task["test_cases"]):
        failure, output = run(program, test["input"], seconds, task.get("func_name"))
        if failure is not None:
            return failure, at
        if not same(task["checker"], output, test["output"].strip()):
            return "wrong_answer", at
    return "accepted", None


def check(name):
    _, task = load(name)
    report, good = [], True
    with tempfile.TemporaryDirectory() as folder:
        for program in sorted((CODE / name).iterdir()):
            if program.suffix not in (".py", ".cpp"):
                continue
            wanted = MEANS[program.stem.split("_")[0]]
            got, at = verdict(program, task, folder)
            good &= got == wanted
            report.append(f"{'ok ' if got == wanted else 'BAD'} {name}/{program.name}: {got} at {at}")
    return "\n".join(report), good


def main():
    what, names = sys.argv[1], sys.argv[2:] or sorted(path.name for path in CODE.iterdir())
    assert sorted(INPUTS) == sorted(path.name for path in CODE.iterdir()), "one entry of INPUTS per folder"
    with ThreadPoolExecutor(2) as pool:
        if what == "make":
            for line in pool.map(make, names):
                print(line, flush=True)
        elif what == "check":
            good = True
            for report, fine in pool.map(check, names):
                print(report, flush=True)
                good &= fine
            sys.exit(0 if good else 1)
        else:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
