#!/usr/bin/env python3
"""Math-Verify from PyPI and `assay math` on the same pairs, one process and one core each, in one run.

    pip install -r verifier/benches/requirements.txt
    python3 verifier/benches/math_verify.py --data ../shared/data/math --assay target/release/assay [--sample 300] [--json]

Math-Verify's time is CPU time of a warm process (parse both sides, verify), its alarm at its default of 5 s; ours is
the `micros` of one `assay math --pairs` over all pairs (parse both sides, compare), wall time of its one thread, so other
load makes ours look slower. Right means: equal where the label says so, not equal where it says not. Hostile pairs are
timed for ours alone.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

SUITES = [
    "nemo_skills", "hendrycks", "areal", "rl_frameworks", "qwen_grader",
    "mutations_rational", "gsm8k_solution", "math5000_solution",
]


def load(folder, sample):
    """The labelled pairs of every suite, so many of each at most."""
    pairs = []
    for suite in SUITES:
        rows = [json.loads(line) for line in (folder / f"{suite}.jsonl").open()]
        rows = [row for row in rows if row["expected"] is not None]
        pairs += random.Random(1).sample(rows, min(sample, len(rows)))
    return pairs


def hostile():
    """Answers of up to 700 kB made to cost much, each beside golds of several kinds."""
    answers = [
        "(" * 50_000 + "5" + ")" * 50_000, "(" * 40 + "5" + ")" * 40, "{" * 100_000, "\\left(" * 17_000,
        "9" * 100_000, "9" * 2000, "0." + "0" * 2000 + "1", "1e400", "10^{10^{10^{10}}}", "2^" * 1300 + "2",
        "9!!!!!!!!!", "((9!)!)!", "10000!", "\\frac{10000!}{9999!}", "\\binom{10000}{5000}",
        "\\boxed{" * 100_000, "\\boxed{" * 2000 + "5" + "}" * 2000, "\u202e5" * 1000, "5\u200b" * 1000, "\u0430" * 2000,
        "\\sqrt{" * 45 + "2" + "}" * 45, "\\frac{1}{1+" * 45 + "x" + "}" * 45, "(x+y+z+w+1)^{1000}", "(x+y+1)^{60}",
        "(\\sqrt{2}+\\sqrt{3}+\\sqrt{5}+\\sqrt{7}+\\pi)^{200}", "\\sin(x)+" * 400 + "1", "\\ln(x+1)" * 400,
        "e^{e^{e^{e^x}}}", "\\tan(" * 45 + "x" + ")" * 45, "\\arctan(\\arcsin(\\ln(1+x^2)/9))" * 100, "1," * 2000 + "1",
        ",".join(f"\\sqrt{{{n}}}" for n in range(2, 66)), ",".join(f"\\ln {n}" for n in range(65, 1, -1)),
        "\\begin{pmatrix}" + "\\\\".join("&".join("x+y" for _ in range(16)) for _ in range(16)) + "\\end{pmatrix}",
        "\\frac{1}{" + "+".join(f"\\sqrt{{{n}}}" for n in range(2, 40)) + "}", "+".join(f"\\sqrt[{n}]{{{n}}}" for n in range(2, 60)),
    ]
    golds = ["5", "x^2+1", "(x+y+1)^{60}", "1, 2, 3", "\\sin x+\\ln(x+1)", ",".join(f"\\ln {n}" for n in range(2, 66)), "\\sqrt{2}+\\pi"]
    return [{"gold": gold, "pred": answer, "mode": "answer", "expected": False} for gold in golds for answer in answers]


def theirs(pairs):
    """Verdict and CPU seconds of Math-Verify for each pair."""
    # This file's folder comes first on the path, and this file has the package's name.
    here = pathlib.Path(__file__).resolve().parent
    sys.path = [entry for entry in sys.path if pathlib.Path(entry or ".").resolve() != here]
    from math_verify import parse, verify

    def grade(row):
        answer = row["pred"] if row.get("mode") != "answer" else f"${row['pred']}$"
        try:
            return bool(verify(parse(f"${row['gold']}$"), parse(answer)))
        except Exception:  # its parse errors and timeouts count as "not equal"
            return False

    for row in pairs[:20]:
        grade(row)
    results = []
    for row in pairs:
        start = time.process_time()
        verdict = grade(row)
        results.append((verdict, time.process_time() - start))
    return results


def ours(pairs, assay):
    """Verdict and seconds of `assay math` for each pair."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for at, row in enumerate(pairs):
            keys = {key: row[key] for key in ("gold", "pred", "mode") if row.get(key) is not None}
            file.write(json.dumps({"id": at, **keys}) + "\n")
        file.flush()
        command = [assay, "math", "--pairs", file.name, "--profile", "math_verify"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    graded = [json.loads(line) for line in lines]
    return [(row["verdict"] == "equal", row["micros"] / 1e6) for row in graded]


def summary(pairs, results):
    seconds = sorted(cpu for _, cpu in results)
    right = sum(verdict == row["expected"] for row, (verdict, _) in zip(pairs, results))
    false_equal = sum(verdict and not row["expected"] for row, (verdict, _) in zip(pairs, results))
    return {
        "pairs": len(pairs),
        "right_percent": round(100 * right / len(pairs), 2),
        "false_equal": false_equal,
        "pairs_per_second": round(len(pairs) / max(sum(seconds), 1e-9), 1),
        "p50_us": round(1e6 * statistics.median(seconds), 1),
        "p99_us": round(1e6 * seconds[int(0.99 * (len(seconds) - 1))], 1),
        "max_us": round(1e6 * seconds[-1], 1),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data/math"))
    arguments.add_argument("--assay", default="target/release/assay")
    arguments.add_argument("--sample", type=int, default=300, help="pairs of each suite at most")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    if not options.data.is_dir():
        sys.exit(f"{options.data}: no such folder; give the measuring data with --data")
    pairs = load(options.data, options.sample)
    table = {"math_verify": summary(pairs, theirs(pairs)), "assay": summary(pairs, ours(pairs, options.assay))}
    table["assay_hostile"] = summary(hostile(), ours(hostile(), options.assay))
    table["times_faster"] = round(
        table["assay"]["pairs_per_second"] / table["math_verify"]["pairs_per_second"], 1
    )
    if options.json:
        print(json.dumps(table))
        return
    for name in ("math_verify", "assay", "assay_hostile"):
        print(name.ljust(14), "  ".join(f"{key} {value}" for key, value in table[name].items()))
    print(f"assay grades {table['times_faster']} times as many pairs a second")


if __name__ == "__main__":
    main()
