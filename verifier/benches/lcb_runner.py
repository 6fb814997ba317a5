#!/usr/bin/env python3
"""LiveCodeBench's own evaluator and `assay grade --profile lcb` on the same files, in one run, with caches off.

    pip install numpy tqdm
    git clone LiveCodeBench's repository, or unpack the wheel nvidia-livecodebench
    python3 verifier/benches/lcb_runner.py --lcb PATH --data ../shared/data/code --assay target/release/assay

`--lcb` is the folder that holds the package `lcb_runner` (or `livecodebench`, NVIDIA's packaging of it). Without it a
stand-in of the same construction runs instead (a manager and a process per sample, exec, alarms of 6 s), and the
output says so: its figures are no comparison.

Both sides get the same number of workers and 6 s a test. Printed for each: wall and CPU seconds, tests a second, peak
memory (the sum of the resident sets of all its processes, sampled ten times a second: pages shared by processes are
counted in each), and CPU outside the samples that ended at the time limit.
"""

import argparse
import base64
import json
import os
import pathlib
import pickle
import resource
import subprocess
import sys
import tempfile
import threading
import time
import zlib

import processes

TIMEOUT = 6


# What is measured: (name, file of problems, file of completions).

def sets(folder, workspace, names):
    """The measuring data's two sets, and programs with twenty tests each."""
    found = [(name, folder / name / "problems.jsonl", folder / name / "completions.json")
             for name in ("leetcode_functional", "lcb_public")]
    if "stdin20" in names:
        found.append(("stdin20", *trivial(workspace)))
    return [entry for entry in found if entry[0] in names]


def trivial(workspace, programs=100, tests=20):
    """Programs that read a number and print its double, as LiveCodeBench records."""
    problems, completions = workspace / "problems.jsonl", workspace / "completions.json"
    cases = json.dumps([{"input": f"{n}\n", "output": f"{2 * n}\n", "testtype": "stdin"} for n in range(tests)])
    with problems.open("w") as file:
        for i in range(programs):
            file.write(json.dumps({
                "question_title": "", "question_content": "", "platform": "atcoder", "question_id": f"double-{i:03}",
                "contest_id": "", "contest_date": "2024-01-01T00:00:00", "starter_code": "", "difficulty": "easy",
                "public_test_cases": cases, "private_test_cases": "[]", "metadata": "{}",
            }) + "\n")
    rows = [{"question_id": f"double-{i:03}", "code_list": [f"# {i}\nn = int(input())\nprint(2 * n)"]}
            for i in range(programs)]
    completions.write_text(json.dumps(rows))
    return problems, completions


def evaluation_samples(problems):
    """Records as lcb_runner takes them: {"input_output": ...} by question_id."""
    samples = {}
    for line in problems.open():
        record = json.loads(line)
        private = record["private_test_cases"]
        if not private.startswith("["):
            # The user's own file of problems: lcb_runner unpickles it just so.
            private = pickle.loads(zlib.decompress(base64.b64decode(private)))
        tests = json.loads(record["public_test_cases"]) + json.loads(private)
        samples[record["question_id"]] = {"input_output": json.dumps({
            "inputs": [test["input"] for test in tests],
            "outputs": [test["output"] for test in tests],
            "fn_name": json.loads(record["metadata"]).get("func_name"),
        })}
    return samples


# Their side runs in a process of its own, so that its children's CPU time is its alone.

def theirs(args):
    """Child: grades with lcb_runner or the stand-in, writes {question_id: [results of each sample]}."""
    samples = evaluation_samples(pathlib.Path(args.problems))
    rows = json.loads(pathlib.Path(args.completions).read_text())
    inputs, programs = [samples[row["question_id"]] for row in rows], [row["code_list"] for row in rows]
    started = time.monotonic()
    if args.lcb:
        results = evaluator(args.lcb)(inputs, programs, k_list=[1], num_process_evaluate=args.workers, timeout=TIMEOUT)[1]
    else:
        results = stand_in(inputs, programs, args.workers)
    seconds = time.monotonic() - started
    pathlib.Path(args.result).write_text(json.dumps({
        "seconds": seconds,
        "results": {row["question_id"]: [[int(r) for r in result] for result in results[i]]
                    for i, row in enumerate(rows)},
    }))


def evaluator(path):
    """codegen_metrics of the clone."""
    # This file's folder comes first on the path, and this file has the package's name.
    here = pathlib.Path(__file__).resolve().parent
    sys.path = [path] + [entry for entry in sys.path if pathlib.Path(entry or ".").resolve() != here]
    try:
        from lcb_runner.evaluation.compute_code_generation_metrics import codegen_metrics
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("lcb_runner"):
            raise
        from livecodebench.evaluation.compute_code_generation_metrics import codegen_metrics
    return codegen_metrics


def stand_in(inputs, programs, workers):
    """A grader of the usual kind, with codegen_metrics' results: per problem, per sample, a list per test."""
    from concurrent.futures import ProcessPoolExecutor
    jobs = [(i, sample, code) for i, sample in enumerate(inputs) for code in programs[i]]
    results = {i: [] for i in range(len(inputs))}
    with ProcessPoolExecutor(workers) as pool:
        for (i, _, _), result in zip(jobs, pool.map(stand_in_check, *zip(*[job[1:] for job in jobs]))):
            results[i].append(result)
    return results


def stand_in_check(sample, code):
    """One sample in a process of its own, with a manager beside it."""
    import multiprocessing
    tests = json.loads(sample["input_output"])
    with multiprocessing.Manager() as manager:
        result = manager.list()
        process = multiprocessing.Process(target=stand_in_run, args=(tests, code, result))
        process.start()
        process.join((TIMEOUT + 1) * len(tests["inputs"]) + 5)
        process.kill()
        process.join()
        return list(result) or [-2]


def stand_in_run(tests, code, result):
    """Runs the tests in this process, up to the first failure."""
    import io
    import signal

    class Late(BaseException):
        """The alarm."""

    def alarm(*_):
        raise Late
    signal.signal(signal.SIGALRM, alarm)
    prelude = "from string import *\nfrom collections import *\nfrom math import *\nfrom typing import *\nimport sys\n"
    for given, expected in zip(tests["inputs"], tests["outputs"]):
        signal.alarm(TIMEOUT)
        old = sys.stdin, sys.stdout
        try:
            space = {"__name__": "__main__" if tests["fn_name"] is None else "solution"}
            if tests["fn_name"] is None:
                sys.stdin, sys.stdout = io.StringIO(given), io.StringIO()
                exec(compile(prelude + code, "solution", "exec"), space)
                right = sys.stdout.getvalue().split() == expected.split()
            else:
                exec(compile(prelude + code, "solution", "exec"), space)
                owner = space["Solution"]() if "Solution" in space else None
                function = getattr(owner, tests["fn_name"]) if owner else space[tests["fn_name"]]
                right = function(*[json.loads(line) for line in given.split("\n") if line]) == json.loads(expected)
            result.append(True if right else -2)
        except Late:
            result.append(-3)
        except BaseException:  # whatever the program does is its own failure
            result.append(-4)
        finally:
            signal.alarm(0)
            sys.stdin, sys.stdout = old
        if result[-1] is not True:
            return


# Measuring.

def family(root):
    """The process and all that descend from it."""
    parents = processes.parents()
    found = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def resident(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def measured(command):
    """Runs a command: wall and CPU seconds, peak of the summed resident sets, its output."""
    before, started, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=errors)
        done = threading.Event()

        def watch():
            nonlocal peak
            while not done.wait(0.1):
                peak = max(peak, sum(map(resident, family(process.pid))))
        thread = threading.Thread(target=watch)
        thread.start()
        code = process.wait()
        done.set()
        thread.join()
        wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        errors.seek(0)
        out.seek(0)
        text, log = out.read().decode(), errors.read().decode(errors="replace")
    if code:
        sys.exit(f"{command[0]} ended with {code}: {log[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "peak": peak}, text


def run_theirs(args, problems, completions, workspace):
    result = workspace / "theirs.json"
    command = [sys.executable, __file__, "--child", "--problems", problems, "--completions", completions,
               "--result", result, "--workers", args.workers] + (["--lcb", args.lcb] if args.lcb else [])
    figures, _ = measured(command)
    graded = json.loads(result.read_text())
    samples = {(question, number): result for question, results in graded["results"].items()
               for number, result in enumerate(results)}
    # An alarm of 6 s of wall time is about as much CPU in an endless loop.
    late = [result for result in samples.values() if -3 in result]
    figures |= {"wall": graded["seconds"], "tests": sum(map(len, samples.values())), "late": len(late),
                "cpu_outside": figures["cpu"] - TIMEOUT * len(late)}
    return figures, {key: all(r > 0 for r in result) for key, result in samples.items()}


def run_ours(args, problems, completions, workspace):
    out = workspace / "ours"
    command = [args.assay, "grade", problems, completions, "--out", out, "--profile", "lcb", "--no-cache",
               "--jobs", args.workers, "--json"]
    figures, _ = measured(command)
    rows = [json.loads(line) for line in (out / "graded.jsonl").open()]
    report = json.loads((out / "report.json").read_text())
    # The rows do not count the CPU time of a call that did not return.
    late = [row for row in rows if row["verdict"] == "time_limit_exceeded"]
    figures |= {"tests": sum(row["passed"] + (row["failed_test"] is not None) for row in rows), "late": len(late),
                "cpu_outside": figures["cpu"] - TIMEOUT * len(late), "judging": report["wall_seconds"]}
    return figures, {(row["question_id"], row["sample"]): row["verdict"] == "accepted" for row in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lcb", help="folder that holds the package lcb_runner or livecodebench")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data/code"))
    parser.add_argument("--assay", default="target/release/assay")
    parser.add_argument("--sets", default="leetcode_functional,lcb_public,stdin20")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--json", action="store_true")
    for name in ("--problems", "--completions", "--result"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return theirs(args)
    peer = "lcb_runner" if args.lcb else "STAND-IN"
    report = {"load": os.getloadavg()[0], "workers": args.workers, "peer": peer, "sets": {}}
    for name, problems, completions in sets(args.data, pathlib.Path(tempfile.mkdtemp()), args.sets.split(",")):
        workspace = pathlib.Path(tempfile.mkdtemp())
        ours, our_verdicts = run_ours(args, problems, completions, workspace)
        entry = {"ours": ours}
        if not args.ours_only:
            entry["theirs"], their_verdicts = run_theirs(args, problems, completions, workspace)
            entry["disagree"] = sum(their_verdicts[key] != verdict for key, verdict in our_verdicts.items())
            entry["wall_ratio"] = ours["wall"] / entry["theirs"]["wall"]
        report["sets"][name] = entry
        if not args.json:
            show(name, entry, peer)
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        print(f"{args.workers} workers; load average at the start {report['load']:.1f}, now {os.getloadavg()[0]:.1f}")
    return None


def show(name, entry, peer):
    for side, label in (("theirs", peer), ("ours", "assay")):
        if side in entry:
            f = entry[side]
            print(f"{name:20} {label:11} wall {f['wall']:7.1f} s  CPU {f['cpu']:7.1f} s  outside {f['late']} at the limit "
                  f"{f['cpu_outside']:7.1f} s  {f['tests']:6} tests  {f['tests'] / f['wall']:7.1f} tests/s  "
                  f"peak {f['peak'] / 2**20:6.0f} MiB", flush=True)
    if "theirs" in entry:
        print(f"{name:20} wall ratio {entry['wall_ratio']:.2f}, {entry['disagree']} verdicts differ", flush=True)


if __name__ == "__main__":
    main()
