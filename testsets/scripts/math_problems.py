#!/usr/bin/env python3
"""Writes data/math.jsonl, the bundled math problems.

Statements are families with parameters chosen by hand; every answer is computed here, exactly (whole numbers and fractions), mostly
not by the way a solver would go: equations are checked by putting the answer in, simplified forms against what they
simplify. `form` names the form of the answer.
"""

import json
from fractions import Fraction
from itertools import product
from math import comb, gcd, isqrt, lcm
from pathlib import Path

ROWS = []
TARGET = Path(__file__).resolve().parent.parent / "data" / "math.jsonl"


def add(form, difficulty, problem, answer):
    count = sum(row["form"] == form for row in ROWS) + 1
    row = {"id": f"{form}-{count:02}", "difficulty": difficulty, "platform": "assay", "form": form}
    ROWS.append({**row, "problem": problem, "answer": str(answer)})


def tex(value):
    """A fraction or whole number in TeX."""
    value = Fraction(value)
    if value.denominator == 1:
        return str(value.numerator)
    sign = "-" if value < 0 else ""
    return f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def root(n):
    """(a, b) with sqrt(n) = a sqrt(b) and b square-free."""
    a = max(k for k in range(1, isqrt(n) + 1) if n % (k * k) == 0)
    assert a * a * (n // (a * a)) == n
    return a, n // (a * a)


def surd(n, scale=1):
    """scale * sqrt(n) in TeX."""
    a, b = root(n)
    factor = Fraction(scale) * a
    if b == 1:
        return tex(factor)
    top = f"\\sqrt{{{b}}}" if factor.numerator == 1 else f"{factor.numerator}\\sqrt{{{b}}}"
    return top if factor.denominator == 1 else f"\\frac{{{top}}}{{{factor.denominator}}}"


def poly(*coefficients, x="x"):
    """A polynomial in TeX, highest power first."""
    text, power = "", len(coefficients)
    for value in coefficients:
        power -= 1
        if value == 0:
            continue
        sign = "-" if value < 0 else "+" if text else ""
        size = "" if abs(value) == 1 and power else tex(abs(Fraction(value)))
        text += f"{sign}{size}" + ("" if power == 0 else x if power == 1 else f"{x}^{power}" if power < 10 else f"{x}^{{{power}}}")
    return text or "0"


def times(p, q):
    result = [0] * (len(p) + len(q) - 1)
    for (i, a), (j, b) in product(enumerate(p), enumerate(q)):
        result[i + j] += a * b
    return result


def digits(n, base):
    text = ""
    while n:
        text, n = "0123456789ABCDEF"[n % base] + text, n // base
    return text or "0"


def matrix(rows):
    return "\\begin{pmatrix} " + " \\\\ ".join(" & ".join(tex(x) for x in row) for row in rows) + " \\end{pmatrix}"


def imaginary(re, im):
    re, im = Fraction(re), Fraction(im)
    if im == 0:
        return tex(re)
    part = "i" if abs(im) == 1 else tex(abs(im)) + "i"
    if re == 0:
        return ("-" if im < 0 else "") + part
    return f"{tex(re)}{'-' if im < 0 else '+'}{part}"


def integers():
    for a, b in [(84, 126), (391, 437), (1001, 357), (2024, 748)]:
        add("integer", "easy", f"Find the greatest common divisor of {a} and {b}.", gcd(a, b))
    for a, b, c in [(12, 18, 40), (7, 9, 21), (16, 25, 10)]:
        add("integer", "easy", f"What is the least positive integer divisible by {a}, {b} and {c}?", lcm(a, b, c))
    for base, power, m in [(7, 100, 13), (3, 2025, 10), (2, 64, 17), (11, 77, 100)]:
        add("integer", "medium", f"What is the remainder when ${base}^{{{power}}}$ is divided by {m}?", pow(base, power, m))
    for first, step, count in [(3, 4, 20), (-15, 6, 11), (100, -7, 30)]:
        total = sum(first + step * i for i in range(count))
        add("integer", "easy", f"An arithmetic sequence begins with {first}, and each term is the one before {'plus' if step > 0 else 'minus'} {abs(step)}. Find the sum of its first {count} terms.", total)
    for n in [360, 1024, 2310, 9999]:
        add("integer", "medium", f"How many positive integers divide {n}?", sum(n % d == 0 for d in range(1, n + 1)))
    for people, chosen in [(10, 3), (12, 5), (9, 4)]:
        add("integer", "medium", f"In how many ways can a committee of {chosen} be chosen from {people} people?", comb(people, chosen))
    for limit, a, b in [(1000, 6, 10), (500, 4, 7)]:
        count = sum(x % a == 0 or x % b == 0 for x in range(1, limit + 1))
        add("integer", "medium", f"How many integers from 1 to {limit} are divisible by {a} or by {b} (or both)?", count)
    for a, b, c in [(5, -17, 6), (-3, 8, 41), (9, 4, -50)]:
        x = next(x for x in range(-100, 101) if a * x + b == a * c + b)
        add("integer", "easy", f"Solve for $x$: ${poly(a, b)} = {a * c + b}$.", x)
    for word in ["LEVEL", "BANANA", "COFFEE"]:
        letters, orders = sorted(word), {""}
        for _ in word:
            orders = {o + x for o in orders for x in set(letters) if o.count(x) < letters.count(x)}
        add("integer", "medium", f"How many different arrangements are there of the letters of the word {word}?", len(orders))


def fractions():
    for a, b, c, d in [(1, 2, 1, 3), (5, 6, 3, 8), (7, 10, -4, 15), (2, 9, 5, 12)]:
        total = Fraction(a, b) + Fraction(c, d)
        add("fraction", "easy", f"Compute ${tex(Fraction(a, b))} + {'(' if c < 0 else ''}{tex(Fraction(c, d))}{')' if c < 0 else ''}$ in lowest terms.", tex(total))
    for a, b, c, d in [(3, 4, 9, 10), (-5, 8, 15, 4), (14, 25, 21, 10)]:
        add("fraction", "easy", f"Divide ${tex(Fraction(a, b))}$ by ${tex(Fraction(c, d))}$. Give a fraction in lowest terms.", tex(Fraction(a, b) / Fraction(c, d)))
    for total in [5, 7, 9, 11]:
        hits = sum(a + b == total for a, b in product(range(1, 7), repeat=2))
        add("fraction", "medium", f"Two fair six-sided dice are thrown. What is the probability that they show {total} in total?", tex(Fraction(hits, 36)))
    for red, blue in [(5, 3), (4, 6), (7, 2)]:
        odds = Fraction(comb(red, 2) + comb(blue, 2), comb(red + blue, 2))
        add("fraction", "medium", f"A bag holds {red} red and {blue} blue balls. Two are drawn at random without replacement. What is the probability that they have the same colour?", tex(odds))
    for first, ratio in [(3, Fraction(1, 4)), (5, Fraction(-2, 3)), (Fraction(1, 2), Fraction(3, 5))]:
        add("fraction", "medium", f"Find the sum of the infinite geometric series with first term ${tex(first)}$ and ratio ${tex(ratio)}$.", tex(Fraction(first) / (1 - ratio)))
    for block, length in [(27, 2), (135, 3), (8, 1)]:
        add("fraction", "medium", f"Write the repeating decimal $0.\\overline{{{block:0{length}}}}$ as a fraction in lowest terms.", tex(Fraction(block, 10**length - 1)))


def decimals():
    for a, b in [("12.75", "3.8"), ("0.04", "1.96"), ("100.5", "0.25")]:
        total = Fraction(a) - Fraction(b)
        text = f"{float(total):.2f}"
        assert Fraction(text) == total
        add("decimal", "easy", f"Compute ${a} - {b}$. Give the exact decimal.", text)
    for a, b, places in [("2.5", "0.6", 1), ("0.125", "0.4", 2), ("1.2", "1.2", 2), ("0.75", "0.5", 3)]:
        value = Fraction(a) * Fraction(b)
        text = f"{float(value):.{places}f}"
        assert Fraction(text) == value
        add("decimal", "easy", f"Compute ${a} \\cdot {b}$. Give the exact decimal.", text)
    for top, bottom, places in [(7, 8, 3), (3, 16, 4), (9, 40, 3), (11, 20, 2), (123, 50, 2)]:
        text = f"{top / bottom:.{places}f}"
        assert Fraction(text) == Fraction(top, bottom)
        add("decimal", "easy", f"Write $\\frac{{{top}}}{{{bottom}}}$ as a decimal.", text)


def surds():
    for n in [72, 48, 125, 98, 243, 1200]:
        add("surd", "easy", f"Simplify $\\sqrt{{{n}}}$.", surd(n))
    for p, q in [((1, 2), (4, 8)), ((-3, 0), (5, -4)), ((0, 0), (7, 7)), ((2, -1), (8, 11))]:
        square = (p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2
        add("surd", "easy", f"Find the distance between the points ${p}$ and ${q}$. Give an exact simplified answer.", surd(square))
    for top, under in [(6, 3), (10, 5), (1, 2), (9, 6), (4, 10)]:
        add("surd", "medium", f"Rationalise the denominator of $\\frac{{{top}}}{{\\sqrt{{{under}}}}}$.", surd(under, Fraction(top, under)))
    for a, b in [(2, 18), (27, 12), (50, 8), (20, 45)]:
        (p, k), (q, m) = root(a), root(b)
        assert k == m
        add("surd", "medium", f"Simplify $\\sqrt{{{a}}} + \\sqrt{{{b}}}$.", surd(k * (p + q) ** 2))
    for b, c in [(-4, 1), (-6, 7), (-2, -4), (-10, 13)]:
        half, inside = Fraction(-b, 2), Fraction(b * b - 4 * c, 4)
        assert half.denominator == inside.denominator == 1 and half * half - inside == c
        add("surd", "medium", f"Find the larger solution of ${poly(1, b, c)} = 0$. Give an exact answer.", f"{half}+{surd(int(inside))}")


def pis():
    for r in [3, 7, 12]:
        add("pi", "easy", f"What is the area of a circle of radius {r}? Give the exact value in terms of $\\pi$.", f"{r * r}\\pi")
    for r, h in [(3, 4), (5, 9), (2, 11)]:
        volume = Fraction(r * r * h, 3)
        text = f"{volume}\\pi" if volume.denominator == 1 else f"\\frac{{{volume.numerator}\\pi}}{{{volume.denominator}}}"
        add("pi", "medium", f"A cone has base radius {r} and height {h}. Find its volume in terms of $\\pi$.", text)
    for degrees in [60, 135, 210, 300, 18]:
        part = Fraction(degrees, 180)
        top = "\\pi" if part.numerator == 1 else f"{part.numerator}\\pi"
        add("pi", "easy", f"Convert an angle of {degrees} degrees to radians. Give the exact value.", f"\\frac{{{top}}}{{{part.denominator}}}")
    for outer, inner in [(5, 3), (10, 6)]:
        add("pi", "medium", f"Two circles with the same centre have radii {inner} and {outer}. What is the exact area between them?", f"{outer**2 - inner**2}\\pi")


def percents():
    for old, new in [(80, 100), (250, 300), (40, 46), (64, 112)]:
        add("percent", "easy", f"A price rises from {old} to {new}. By what percentage does it rise?", f"{Fraction(100 * (new - old), old)}\\%")
    for part, whole in [(18, 72), (27, 60), (33, 150)]:
        add("percent", "easy", f"What percentage of {whole} is {part}?", f"{Fraction(100 * part, whole)}\\%")
    for up, down in [(20, 20), (50, 40), (25, 60)]:
        left = Fraction(100 + up, 100) * Fraction(100 - down, 100) * 100
        assert left.denominator == 1
        add("percent", "medium", f"A quantity grows by {up}\\% and then shrinks by {down}\\%. What percentage of its first size is left?", f"{left}\\%")


def tuples():
    for a, b, c, d, x, y in [(1, 1, 1, -1, 4, 1), (2, 3, 1, -2, 3, -1), (5, -2, 3, 4, 2, 7), (3, 1, -2, 5, -4, 6)]:
        assert a * d != b * c
        e, f = a * x + b * y, c * x + d * y
        first, second = poly(a, 0) + ("+" if b > 0 else "") + poly(b, 0, x="y"), poly(c, 0) + ("+" if d > 0 else "") + poly(d, 0, x="y")
        add("tuple", "easy", f"Solve the system ${first} = {e}$, ${second} = {f}$. Give the answer as an ordered pair $(x, y)$.", f"({x}, {y})")
    for p, q in [((2, 5), (8, -1)), ((-3, 4), (6, 1)), ((0, 7), (5, 0))]:
        middle = [Fraction(a + b, 2) for a, b in zip(p, q)]
        add("tuple", "easy", f"Find the midpoint of the segment from ${p}$ to ${q}$.", f"\\left({tex(middle[0])}, {tex(middle[1])}\\right)")
    for a, h, k in [(1, 3, -2), (2, -1, 5), (-1, 4, 4)]:
        expanded = poly(a, -2 * a * h, a * h * h + k)
        add("tuple", "medium", f"Find the vertex of the parabola $y = {expanded}$.", f"({h}, {k})")
    for u, v in [((1, 2, 3), (4, 5, 6)), ((2, 0, -1), (1, 3, 1))]:
        cross = tuple(u[(i + 1) % 3] * v[(i + 2) % 3] - u[(i + 2) % 3] * v[(i + 1) % 3] for i in range(3))
        assert sum(a * b for a, b in zip(u, cross)) == sum(a * b for a, b in zip(v, cross)) == 0
        add("tuple", "medium", f"Compute the cross product of the vectors ${u}$ and ${v}$.", cross)


def sets():
    for r, s in [(2, 5), (-3, 4), (-7, -1), (0, 6)]:
        add("set", "easy", f"Find the set of all real solutions of ${poly(*times([1, -r], [1, -s]))} = 0$.", f"\\{{{r}, {s}\\}}")
    for r, s, t in [(1, 2, 3), (-2, 0, 5), (-4, -1, 2)]:
        expanded = poly(*times(times([1, -r], [1, -s]), [1, -t]))
        add("set", "medium", f"Find the set of all real solutions of ${expanded} = 0$.", f"\\{{{r}, {s}, {t}\\}}")
    for centre, distance in [(3, 4), (-2, 7)]:
        answer = f"\\{{{centre - distance}, {centre + distance}\\}}"
        add("set", "easy", f"Find the set of all real solutions of $|{poly(1, -centre)}| = {distance}$.", answer)
    for n in [28, 45]:
        primes = [p for p in range(2, n + 1) if n % p == 0 and all(p % d for d in range(2, p))]
        add("set", "easy", f"Give the set of all prime divisors of {n}.", "\\{" + ", ".join(map(str, primes)) + "\\}")
    add("set", "easy", "Find the set of all real solutions of $x^2 + 1 = 0$.", "\\emptyset")


def intervals():
    for r, s in [(1, 4), (-2, 3), (-6, -5), (0, 9)]:
        expanded = poly(*times([1, -r], [1, -s]))
        add("interval", "medium", f"Solve ${expanded} < 0$. Give the answer in interval notation.", f"({r}, {s})")
        add("interval", "medium", f"Solve ${expanded} \\geq 0$. Give the answer in interval notation.", f"(-\\infty, {r}] \\cup [{s}, \\infty)")
    for centre, distance in [(2, 5), (-1, 3)]:
        add("interval", "easy", f"Solve $|{poly(1, -centre)}| \\leq {distance}$. Give the answer in interval notation.", f"[{centre - distance}, {centre + distance}]")
        add("interval", "easy", f"Solve $|{poly(1, -centre)}| > {distance}$. Give the answer in interval notation.", f"(-\\infty, {centre - distance}) \\cup ({centre + distance}, \\infty)")
    for a, b in [(1, -5), (2, 6)]:
        add("interval", "easy", f"What is the domain of the real function $f(x) = \\sqrt{{{poly(a, b)}}}$? Give an interval.", f"[{-b // a}, \\infty)")
    add("interval", "medium", "What is the range of the real function $f(x) = 3 - x^2$? Give an interval.", "(-\\infty, 3]")
    add("interval", "medium", "What is the domain of the real function $f(x) = \\frac{1}{\\sqrt{x - 2}}$? Give an interval.", "(2, \\infty)")


def polynomials():
    for p, q in [((1, 3), (1, -5)), ((2, 1), (3, -4)), ((1, -1), (1, 1, 1)), ((2, -3), (1, 0, 4))]:
        add("polynomial", "easy", f"Expand $({poly(*p)})({poly(*q)})$.", poly(*times(p, q)))
    for p in [(1, 0, -4, 7), (3, -2, 5, 1), (1, 0, 0, 0, -9), (2, 5, 0, -1, 6)]:
        top = len(p) - 1
        add("polynomial", "easy", f"Find the derivative of $f(x) = {poly(*p)}$.", poly(*(c * (top - i) for i, c in enumerate(p[:-1]))))
    for r, s in [(3, 8), (-2, 7), (-5, -6)]:
        factors = "".join(f"({poly(1, -x)})" for x in (r, s))
        add("polynomial", "easy", f"Factor ${poly(*times([1, -r], [1, -s]))}$ completely.", factors)
    for d, q in [((1, -2), (1, 4, 3)), ((1, 5), (2, -3, 1))]:
        add("polynomial", "medium", f"Divide ${poly(*times(d, q))}$ by ${poly(*d)}$.", poly(*q))


def equations():
    for p, q in [((0, 1), (2, 7)), ((1, 4), (3, 0)), ((-2, -3), (2, 5)), ((4, 1), (8, 4))]:
        slope = Fraction(q[1] - p[1], q[0] - p[0])
        offset = p[1] - slope * p[0]
        assert q[1] == slope * q[0] + offset
        add("equation", "easy", f"Find the equation of the line through ${p}$ and ${q}$ in the form $y = mx + b$.", f"y = {poly(slope, offset)}")
    for x, y, r in [(2, 3, 4), (-1, 5, 6), (0, -4, 3)]:
        left = (f"({poly(1, -x)})^2" if x else "x^2") + f" + ({poly(1, -y, x='y')})^2"
        add("equation", "medium", f"Find the equation of the circle with centre $({x}, {y})$ and radius {r}.", f"{left} = {r * r}")
    for a, b in [(3, -7), (5, 2)]:
        slope = Fraction(-1, a)
        add("equation", "medium", f"Find the equation of the line through the origin perpendicular to $y = {poly(a, b)}$, in the form $y = mx$.", f"y = {poly(slope, 0)}")
    add("equation", "easy", "Give the equation of the vertical line through $(5, -2)$.", "x = 5")


def complexes():
    for a, b, c, d in [(2, 3, 1, -1), (4, -1, 2, 5), (0, 3, -2, 1), (1, 1, 1, 1)]:
        add("complex", "easy", f"Compute $({imaginary(a, b)})({imaginary(c, d)})$, where $i^2 = -1$.", imaginary(a * c - b * d, a * d + b * c))
    for a, b, c, d in [(5, 5, 1, 2), (3, -1, 1, 1), (7, 4, 2, -1), (1, 0, 3, 4)]:
        norm = c * c + d * d
        re, im = Fraction(a * c + b * d, norm), Fraction(b * c - a * d, norm)
        assert (re * c - im * d, re * d + im * c) == (a, b)
        add("complex", "medium", f"Write $\\frac{{{imaginary(a, b)}}}{{{imaginary(c, d)}}}$ in the form $a + bi$.", imaginary(re, im))
    for n in [3, 10, 41]:
        add("complex", "easy", f"Compute $i^{{{n}}}$, where $i^2 = -1$.", ["1", "i", "-1", "-i"][n % 4])
    for a, b in [(2, 1), (1, 3)]:
        add("complex", "medium", f"Find the solution of ${poly(1, -2 * a, a * a + b * b)} = 0$ with positive imaginary part.", imaginary(a, b))


def matrices():
    pairs = [([[1, 2], [3, 4]], [[0, 1], [1, 0]]), ([[2, -1], [0, 3]], [[1, 4], [5, -2]]), ([[1, 0, 2], [-1, 3, 1]], [[3, 1], [2, 1], [1, 0]])]
    for a, b in pairs:
        made = [[sum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a]
        add("matrix", "easy", f"Compute the product ${matrix(a)} {matrix(b)}$.", matrix(made))
    for (a, b), (c, d) in [((2, 1), (5, 3)), ((4, 7), (2, 6)), ((1, -1), (1, 1)), ((0, 2), (-1, 3))]:
        det = a * d - b * c
        inverse = [[Fraction(d, det), Fraction(-b, det)], [Fraction(-c, det), Fraction(a, det)]]
        assert a * inverse[0][0] + b * inverse[1][0] == 1 and c * inverse[0][0] + d * inverse[1][0] == 0
        add("matrix", "medium", f"Find the inverse of the matrix ${matrix([[a, b], [c, d]])}$.", matrix(inverse))
    add("matrix", "easy", f"Give the transpose of ${matrix([[1, 2, 3], [4, 5, 6]])}$.", matrix([[1, 4], [2, 5], [3, 6]]))
    add("matrix", "easy", f"Compute $3{matrix([[1, -2], [0, 4]])} - {matrix([[2, 2], [1, 1]])}$.", matrix([[1, -8], [-1, 11]]))


def mixed_numbers():
    for top, bottom in [(11, 4), (23, 6), (50, 7), (37, 10)]:
        whole, rest = divmod(top, bottom)
        assert gcd(rest, bottom) == 1
        add("mixed-number", "easy", f"Write $\\frac{{{top}}}{{{bottom}}}$ as a mixed number.", f"{whole}\\frac{{{rest}}}{{{bottom}}}")
    for (a, b, c), (d, e, f) in [((1, 1, 2), (2, 2, 3)), ((3, 3, 4), (1, 5, 8)), ((2, 1, 5), (4, 1, 2)), ((5, 5, 6), (1, 3, 4))]:
        total = a + Fraction(b, c) + d + Fraction(e, f)
        whole = int(total)
        rest = total - whole
        add("mixed-number", "medium", f"Compute ${a}\\frac{{{b}}}{{{c}}} + {d}\\frac{{{e}}}{{{f}}}$. Give a mixed number in lowest terms.", f"{whole}{tex(rest)}")


def thousands():
    for a, b in [(1250, 800), (999, 1001), (37037, 27)]:
        add("thousands", "easy", f"Compute ${a} \\cdot {b}$.", f"{a * b:,}")
    for people, yearly in [(48250, 1750), (120000, 3600)]:
        add("thousands", "easy", f"A town of {people:,} people grows by {yearly:,} people each year. How many people has it after 12 years?", f"{people + 12 * yearly:,}")
    for power in [13, 20]:
        add("thousands", "easy", f"Compute $2^{{{power}}}$.", f"{2**power:,}")
    add("thousands", "medium", "Find the sum of all integers from 1 to 2000.", f"{sum(range(2001)):,}")


def bases():
    for n, base in [(45, 2), (100, 2), (200, 8), (255, 5), (77, 3), (1000, 7)]:
        text = digits(n, base)
        assert int(text, base) == n
        add("base-n", "easy", f"Write the number {n} (in base ten) in base {base}. Show the base as a subscript.", f"{text}_{{{base}}}")
    for a, b, base in [("101", "111", 2), ("34", "25", 6), ("212", "121", 3), ("47", "36", 8)]:
        total = digits(int(a, base) + int(b, base), base)
        add("base-n", "medium", f"Add ${a}_{{{base}}} + {b}_{{{base}}}$. Give the sum in base {base}, with the base as a subscript.", f"{total}_{{{base}}}")


def words():
    for n in [91, 97, 221, 113]:
        prime = all(n % d for d in range(2, n))
        add("word", "easy", f"Is {n} a prime number? Answer yes or no.", "\\text{Yes}" if prime else "\\text{No}")
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    for today, later in [("Monday", 100), ("Friday", 45), ("Sunday", 365)]:
        day = days[(days.index(today) + later) % 7]
        add("word", "easy", f"Today is {today}. What day of the week will it be in {later} days?", f"\\text{{{day}}}")
    for function, kind in [("x^3 - 5x", "odd"), ("x^4 + 2x^2", "even"), ("x^2 + x", "neither")]:
        add("word", "medium", f"Is the function $f(x) = {function}$ even, odd, or neither? Answer with one of these words.", f"\\text{{{kind}}}")
    add("word", "medium", "Which conic section has the equation $4x^2 + 9y^2 = 36$: circle, ellipse, parabola or hyperbola?", "\\text{ellipse}")


def choices():
    questions = [
        ("Which of these numbers is a perfect square?", [112, 121, 131, 141], lambda x: isqrt(x) ** 2 == x),
        ("Which of these numbers is divisible by 9?", [514, 623, 738, 829], lambda x: x % 9 == 0),
        ("Which of these numbers leaves the remainder 3 when divided by 7?", [36, 47, 50, 52], lambda x: x % 7 == 3),
        ("Which of these numbers is prime?", [87, 93, 101, 111], lambda x: all(x % d for d in range(2, x))),
        ("Which of these numbers has exactly four positive divisors?", [16, 18, 21, 25], lambda x: sum(x % d == 0 for d in range(1, x + 1)) == 4),
        ("Which of these numbers is a power of two?", [96, 128, 144, 192], lambda x: x & (x - 1) == 0),
    ]
    for question, numbers, right in questions:
        hits = [i for i, x in enumerate(numbers) if right(x)]
        assert len(hits) == 1, question
        listed = " ".join(f"({letter}) {x}" for letter, x in zip("ABCD", numbers))
        add("choice", "easy", f"{question} {listed}. Answer with the letter.", f"\\text{{({'ABCD'[hits[0]]})}}")


def trigonometry():
    exact = {
        "\\sin 60^\\circ": "\\frac{\\sqrt{3}}{2}",
        "\\cos 45^\\circ": "\\frac{\\sqrt{2}}{2}",
        "\\tan 30^\\circ": "\\frac{\\sqrt{3}}{3}",
        "\\cos 120^\\circ": "-\\frac{1}{2}",
        "\\sin 225^\\circ": "-\\frac{\\sqrt{2}}{2}",
        "\\tan 135^\\circ": "-1",
        "\\sin 75^\\circ": "\\frac{\\sqrt{6}+\\sqrt{2}}{4}",
        "\\cos 75^\\circ": "\\frac{\\sqrt{6}-\\sqrt{2}}{4}",
    }
    for question, answer in exact.items():
        add("trigonometry", "medium", f"Find the exact value of ${question}$.", answer)


def logarithms():
    for base, power in [(2, 7), (3, 4), (5, 3)]:
        add("logarithm", "easy", f"Compute $\\log_{{{base}}} {base**power}$.", power)
    add("logarithm", "medium", "Solve $e^x = 5$ for real $x$. Give an exact answer.", "\\ln 5")
    add("logarithm", "medium", "Solve $2^x = 7$ for real $x$. Give an exact answer.", "\\log_2 7")
    add("logarithm", "medium", "Compute $\\log_4 32$.", "\\frac{5}{2}")


def units():
    for a, b in [(9, 12), (8, 15), (20, 21)]:
        c = isqrt(a * a + b * b)
        assert c * c == a * a + b * b
        add("unit", "easy", f"The legs of a right triangle measure {a} cm and {b} cm. How long is its hypotenuse?", f"{c}\\text{{ cm}}")
    add("unit", "easy", "A train goes 150 km in 2 hours at a steady speed. How far does it go in 5 hours?", "375\\text{ km}")
    add("unit", "easy", "A rectangular garden is 14 m long and 9 m wide. What is its area?", "126\\text{ m}^2")


def scientific():
    for a, p, b, q in [(3, 4, 2, 5), (4, -2, 2, 7)]:
        assert a * b < 10
        add("scientific", "easy", f"Compute $({a} \\times 10^{{{p}}})({b} \\times 10^{{{q}}})$ in scientific notation.", f"{a * b} \\times 10^{{{p + q}}}")
    add("scientific", "easy", "Write 5,600,000 in scientific notation.", "5.6 \\times 10^{6}")
    add("scientific", "easy", "Write 0.00072 in scientific notation.", "7.2 \\times 10^{-4}")


FAMILIES = [
    integers, fractions, decimals, surds, pis, percents, tuples, sets, intervals, polynomials, equations, complexes, matrices,
    mixed_numbers, thousands, bases, words, choices, trigonometry, logarithms, units, scientific,
]  # fmt: skip

if __name__ == "__main__":
    for family in FAMILIES:
        family()
    assert len({row["problem"] for row in ROWS}) == len(ROWS), "a statement twice"
    TARGET.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))
    print(f"{len(ROWS)} problems, {len({row['form'] for row in ROWS})} forms")
