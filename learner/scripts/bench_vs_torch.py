#!/usr/bin/env python3
"""Measures training and sampling beside torch and transformers, both sides in one run, two threads each.

    bench_vs_torch.py              a model of 3.1 and one of 24.6 million parameters, three rounds that alternate
    bench_vs_torch.py --rounds 1   fewer
    bench_vs_torch.py --invariant  what `batch_invariant` costs our sampler instead
    bench_vs_torch.py --cpu        one thread each and CPU seconds: to be compared also on a machine that others load

Prints a table (or, with --json, one JSON value): tokens per second of each side (the median of the rounds), their
ratio, the peak memory of each side's process, and from the start of a process the time until its model is loaded and
the time until the end of its first step.

Training is a batch of 16 x 128 tokens; torch with sdpa attention and fused AdamW. Sampling is at temperature 1 from
prompts of 16 tokens: one of 64 new tokens, and 32 whose new tokens are 8 to 256, which transformers' generate() runs
until the longest ends. Needs the packages of requirements.txt, and cargo to build our side.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
THREADS = 2
JOBS = {
    "train 16 x 128": dict(job="train", rows=16, length=128),
    "sample 1": dict(job="sample", rows=1, length=16, lengths=[64]),
    "sample 32, 8-256": dict(job="sample", rows=32, length=16, lengths=[8 + 8 * i for i in range(32)]),
}
INVARIANT = {f"sample {rows}": dict(job="sample", rows=rows, length=16, lengths=[64] * rows) for rows in (1, 8, 32)}


def other_side(request: dict) -> dict:
    """What the example `bench` does, by torch; runs in a process of its own, so that its memory is its own."""
    started = time.perf_counter()
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(request["threads"])
    model = AutoModelForCausalLM.from_pretrained(request["model"], dtype=torch.float32, attn_implementation="sdpa")
    prompts = torch.tensor(request["prompts"])
    ready = time.perf_counter() - started
    if request["job"] == "train":
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0, fused=True)

        def step():
            model(input_ids=prompts, labels=prompts).loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        step()
        first, start, cpu = time.perf_counter() - started, time.perf_counter(), time.process_time()
        for _ in range(request["steps"]):
            step()
        tokens = request["steps"] * prompts.numel()
    else:
        model.eval()
        options = dict(do_sample=True, temperature=1.0, top_k=0, pad_token_id=0, eos_token_id=None)
        with torch.no_grad():
            model.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=1, **options)
            first, start, cpu = time.perf_counter() - started, time.perf_counter(), time.process_time()
            longest = max(request["lengths"])
            model.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=longest, **options)
        tokens = sum(request["lengths"])
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    speeds = dict(tokens_per_second=tokens / seconds, tokens_per_cpu_second=tokens / cpu_seconds)
    return dict(speeds, peak_bytes=peak, seconds_to_ready=ready, seconds_to_first=first)


def measured(command: list[str], request: dict) -> dict:
    threads = str(request["threads"])
    environment = dict(os.environ, RAYON_NUM_THREADS=threads, OMP_NUM_THREADS=threads)
    started = time.perf_counter()
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"bench: {command[0]} failed: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1]) | dict(seconds=time.perf_counter() - started)


def model_of(name: str, directory: Path) -> int:
    import torch

    import parity

    model = parity.random_model(*parity.TRAINED[name][:3])
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    model.save_pretrained(directory)
    torch.manual_seed(5)
    return model.config.vocab_size


def speed_of(options: argparse.Namespace) -> str:
    return "tokens_per_cpu_second" if options.cpu else "tokens_per_second"


def rows(name: str, jobs: dict, sides: dict, options: argparse.Namespace) -> list[dict]:
    """The jobs of a model, done by two sides: a command and what is special in what it is asked for."""
    import torch

    found = []
    with tempfile.TemporaryDirectory() as scratch:
        vocabulary = model_of(name, Path(scratch))
        for what, job in jobs.items():
            prompts = torch.randint(vocabulary, (job["rows"], job["length"])).tolist()
            request = dict(model=scratch, job=job["job"], prompts=prompts, lengths=job.get("lengths", []))
            request |= dict(steps=options.steps, threads=1 if options.cpu else THREADS)
            runs = {side: [] for side in sides}
            for _ in range(options.rounds):
                for side, (command, special) in sides.items():
                    runs[side].append(measured(command, request | special))
            middle = {
                side: {key: statistics.median(run[key] for run in of) for key in of[0]} for side, of in runs.items()
            }
            one, two = (middle[side][speed_of(options)] for side in sides)
            found.append(dict(model=name, job=what, ratio=one / two, **middle))
            print(f"{name}, {what}: {one:.0f} and {two:.0f} tokens/s", file=sys.stderr)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5, help="training steps of a round")
    parser.add_argument("--json", action="store_true", help="print one JSON value instead of the table")
    parser.add_argument("--only", choices="SM", help="only this model")
    parser.add_argument("--cpu", action="store_true", help="one thread each, tokens per CPU second")
    parser.add_argument("--invariant", action="store_true", help="compare our sampler with batch_invariant and without")
    parser.add_argument("--other-side", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.other_side:
        print(json.dumps(other_side(json.load(sys.stdin))))
        return 0
    import parity

    build = ["cargo", "build", "--quiet", "--package", "assay-learner", "--example", "bench"]
    subprocess.run(build, check=True, cwd=ROOT)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    ours = [str(target / "debug" / "examples" / "bench")]
    names = [name for name in parity.TRAINED if name[0] in (options.only or "SM")]
    if options.invariant:
        jobs, sides = INVARIANT, {"with": (ours, dict(batch_invariant=True)), "without": (ours, {})}
    else:
        jobs, sides = JOBS, {"ours": (ours, {}), "torch": ([sys.executable, __file__, "--other-side"], {})}
    found = [row for name in names for row in rows(name, jobs, sides, options)]
    if options.json:
        print(json.dumps(found))
        return 0
    print(f"Of each pair of columns: {', '.join(sides)}")
    print("model              job                tokens/s           ratio  peak MiB         ready s        first step s")
    for row in found:
        one, two = (row[side] for side in sides)
        mib = [side["peak_bytes"] / 2**20 for side in (one, two)]
        print(
            f"{row['model']:17}  {row['job']:17} {one[speed_of(options)]:8.0f} {two[speed_of(options)]:8.0f}"
            f"  {row['ratio']:5.2f}  {mib[0]:7.0f} {mib[1]:7.0f}"
            f"  {one['seconds_to_ready']:6.2f} {two['seconds_to_ready']:6.2f}"
            f"  {one['seconds_to_first']:6.2f} {two['seconds_to_first']:6.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
