#!/usr/bin/env python3
"""The judge's own memory while it grades a problem file larger than memory should be: peak resident sets (VmHWM) of
the judge and of its guardian, apart from spawner and slots.

    python3 verifier/benches/memory.py --assay target/debug/assay [--size 2.0] [--gzip] [--folder DIR]

The file is made here: LiveCodeBench records, each with tests of some megabytes, half of them packed as LiveCodeBench
ships them (base64 of zlib of a pickle), random digits so that packing does not make them small.
"""

import argparse
import base64
import gzip
import json
import os
import pathlib
import pickle
import random
import subprocess
import tempfile
import time
import zlib

import processes

MEBIBYTE = 1 << 20


def record(number, text, packed):
    """A problem with four tests, which asks for the length of its input."""
    cases = [{"input": text + "\n", "output": f"{len(text)}\n", "testtype": "stdin"} for _ in range(4)]
    private = json.dumps(cases[1:])
    if packed:
        private = base64.b64encode(zlib.compress(pickle.dumps(private), 1)).decode()
    return {
        "question_title": "", "question_content": "How long is the line?", "platform": "atcoder",
        "question_id": f"length-{number:04}", "contest_id": "", "contest_date": "2024-01-01T00:00:00",
        "starter_code": "", "difficulty": "easy", "public_test_cases": json.dumps(cases[:1]),
        "private_test_cases": private, "metadata": "{}",
    }


def make(path, size, packer):
    """Records until the file has `size` bytes (before gzip); how many."""
    digits = "".join(random.Random(1).choices("0123456789", k=4 * MEBIBYTE))
    written, number = 0, 0
    with (gzip.open(path, "wt", compresslevel=1) if packer else path.open("w")) as file:
        while written < size:
            start = random.Random(number).randrange(MEBIBYTE)
            length = MEBIBYTE * random.Random(number).choice([1, 2, 3])
            line = json.dumps(record(number, digits[start:start + length], number % 2)) + "\n"
            written += file.write(line)
            number += 1
    return number


def peaks(root):
    """{pid: (part, peak bytes)} of the process and its descendants."""
    parents, found = processes.parents(), {}
    for pid, parent in [(root, None), *parents.items()]:
        try:
            if pid == root:
                part = "guardian"
            elif parent == root:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                part = "judge" if b"grade" in words else "spawner"
            else:
                continue
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            found[pid] = part, int(status.partition("VmHWM:")[2].split()[0]) * 1024
        except (OSError, IndexError):
            pass
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assay", default="target/debug/assay")
    parser.add_argument("--size", type=float, default=2.0, help="GB of problems, before --gzip")
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=pathlib.Path)
    args = parser.parse_args()
    folder = args.folder or pathlib.Path(tempfile.mkdtemp(prefix="assay-memory-"))
    problems = folder / ("problems.jsonl.gz" if args.gzip else "problems.jsonl")
    count = make(problems, args.size * 1e9, args.gzip)
    print(f"{problems}: {problems.stat().st_size / 1e9:.2f} GB, {count} problems", flush=True)
    code = ["print(len(input()))", "print(len(input()) + 1)"]
    rows = [{"question_id": f"length-{number:04}", "code_list": code} for number in range(count)]
    (folder / "completions.json").write_text(json.dumps(rows))
    command = [args.assay, "grade", problems, folder / "completions.json", "--out", folder / "out", "--json",
               "--jobs", args.jobs]
    started, seen = time.monotonic(), {}
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        seen |= peaks(process.pid)
        time.sleep(0.02)
    for part in ("judge", "guardian", "spawner"):
        most = max((peak for other, peak in seen.values() if other == part), default=0)
        print(f"{part:9} peak {most / MEBIBYTE:6.1f} MiB")
    report = json.loads((folder / "out" / "report.json").read_text())
    print(f"{report['samples']} samples, pass@1 {report['pass@1']}, {time.monotonic() - started:.0f} s, "
          f"{args.jobs} jobs, exit code {process.returncode}")


if __name__ == "__main__":
    main()
