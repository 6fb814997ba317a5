#!/usr/bin/env python3
"""Measures training and sampling beside torch and transformers, both sides in one run, two threads each.

    bench_vs_torch.py              a model of 3.1 and one of 24.6 million parameters, three rounds that alternate
    bench_vs_torch.py --rounds 1   fewer
    bench_vs_torch.py --grpo       whole GRPO steps (sample, reward, update) beside TRL's GRPOTrainer instead
    bench_vs_torch.py --invariant  what `batch_invariant` costs our sampler instead
    bench_vs_torch.py --cpu        one thread each and CPU seconds: to be compared also on a machine that others load

Prints a table (or, with --json, one JSON value): tokens per second of each side (the median of the rounds), their
ratio, the peak memory of each side's process, and from the start of a process the time until its model is loaded and
the time until the end of its first step.

Training is a batch of 16 x 128 tokens; torch with sdpa attention and fused AdamW. Sampling is at temperature 1 from
prompts of 16 tokens: one of 64 new tokens, and 32 whose new tokens are 8 to 256, which transformers' generate() runs
until the longest ends. A GRPO step has 16 prompts of 32 tokens and 8 completions of each, up to 256 tokens and, by how likely
the model is made to end one, 64 in the mean; the rewards are a function of the text on either side, in the same process;
time runs from one asking for rewards to the next, and the tokens are those of completions. Needs the packages of requirements.txt, and cargo to build our side.
"""

import argparse
import contextlib
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
GRPO = {"grpo 16 x 8": dict(job="grpo", rows=16, length=32, rollouts=8, longest=256, mean=64)}
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


def trl_side(request: dict) -> dict:
    """What the example `bench` does for `grpo`, by TRL's GRPOTrainer with the same loss."""
    started = time.perf_counter()
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(request["threads"])
    model = AutoModelForCausalLM.from_pretrained(request["model"], dtype=torch.float32, attn_implementation="sdpa")
    tokenizer = AutoTokenizer.from_pretrained(request["model"])
    asked, tokens = [], []

    def reward(completions, completion_ids, **_):
        asked.append((time.perf_counter(), time.process_time()))
        tokens.append(sum(len(ids) for ids in completion_ids))
        return [sum(text.encode()) % 97 / 96 for text in completions]

    rollouts, texts = request["rollouts"], request["texts"]
    config = GRPOConfig(
        output_dir=request["scratch"], max_steps=request["steps"] + 1, per_device_train_batch_size=16,
        gradient_accumulation_steps=rollouts * len(texts) // 16,
        num_generations=rollouts, max_completion_length=request["longest"], temperature=1.0, learning_rate=1e-6, beta=0.0,
        loss_type="dapo", lr_scheduler_type="constant", optim="adamw_torch_fused", gradient_checkpointing=False, bf16=False,
        use_cpu=True, save_strategy="no", report_to=[], disable_tqdm=True, logging_strategy="no", seed=1,
    )  # fmt: skip
    data = Dataset.from_dict(dict(prompt=texts))
    trainer = GRPOTrainer(model=model, reward_funcs=reward, args=config, train_dataset=data, processing_class=tokenizer)
    ready = time.perf_counter() - started
    with contextlib.redirect_stdout(sys.stderr):
        trainer.train()
    (start, cpu), (end, cpu_end) = asked[0], asked[-1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    speeds = dict(tokens_per_second=sum(tokens[1:]) / (end - start), tokens_per_cpu_second=sum(tokens[1:]) / (cpu_end - cpu))
    return dict(speeds, peak_bytes=peak, seconds_to_ready=ready, seconds_to_first=asked[1][0] - started)


def measured(command: list[str], request: dict) -> dict:
    threads = str(request["threads"])
    environment = dict(os.environ, RAYON_NUM_THREADS=threads, OMP_NUM_THREADS=threads)
    started = time.perf_counter()
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"bench: {command[0]} failed: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1]) | dict(seconds=time.perf_counter() - started)


def model_of(name: str, directory: Path, options: argparse.Namespace) -> int:
    import torch

    import parity

    model = parity.random_model(*parity.TRAINED[name][:3])
    end = None
    torch.manual_seed(5)
    if options.grpo:
        end = model.config.vocab_size - 1
        make_it_end(model, end, GRPO["grpo 16 x 8"]["mean"])
        tokenizer_for(model.config.vocab_size, directory)
    model.config.eos_token_id = model.generation_config.eos_token_id = end
    model.save_pretrained(directory)
    return model.config.vocab_size


def make_it_end(model, token: int, mean: int) -> None:
    """Makes `token` as likely as one in `mean`, after random tokens: by a number that is the same in all states."""
    import torch

    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    ids = torch.randint(model.config.vocab_size - 1, (8, 64))
    with torch.no_grad():
        embedding[:, 0] = 1.0
        if head is not embedding:
            head[:, 0] = 0.0
        low, high = -50.0, 50.0
        for _ in range(30):
            head[token, 0] = (low + high) / 2
            share = model(ids).logits.softmax(-1)[..., token].mean().item()
            low, high = (head[token, 0].item(), high) if share < 1 / mean else (low, head[token, 0].item())


def tokenizer_for(vocabulary: int, directory: Path) -> None:
    """A byte-level tokenizer with as many tokens as the model has, the last of which ends a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words = (f"{a}{b}" for a in range(100) for b in ("one", "two", "sum", "of", "and", "is"))
    tokenizer.train_from_iterator(words, trainers.BpeTrainer(vocab_size=vocabulary - 1, initial_alphabet=alphabet))
    tokenizer.add_special_tokens(["<|end|>"])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>").save_pretrained(directory)


def speed_of(options: argparse.Namespace) -> str:
    return "tokens_per_cpu_second" if options.cpu else "tokens_per_second"


def texts_of(job: dict, directory: Path) -> list[str]:
    """Prompts of so many tokens, the digits of random numbers."""
    import random

    from tokenizers import Tokenizer

    tokenizer, draw = Tokenizer.from_file(str(directory / "tokenizer.json")), random.Random(5)
    def prompt():
        text = ""
        while len(tokenizer.encode(text).ids) < job["length"]:
            text += str(draw.randrange(10))
        return text
    return [prompt() for _ in range(job["rows"])]


def rows(name: str, jobs: dict, sides: dict, options: argparse.Namespace) -> list[dict]:
    """The jobs of a model, done by two sides: a command and what is special in what it is asked for."""
    import torch

    found = []
    with tempfile.TemporaryDirectory() as scratch:
        vocabulary = model_of(name, Path(scratch), options)
        for what, job in jobs.items():
            prompts = torch.randint(vocabulary, (job["rows"], job["length"])).tolist()
            request = dict(model=scratch, job=job["job"], prompts=prompts, lengths=job.get("lengths", []))
            request |= dict(steps=options.steps, threads=1 if options.cpu else THREADS)
            if options.grpo:
                request |= dict(texts=texts_of(job, Path(scratch)), rollouts=job["rollouts"], longest=job["longest"])
            runs = {side: [] for side in sides}
            for _ in range(options.rounds):
                for side, (command, special) in sides.items():
                    with tempfile.TemporaryDirectory() as fresh:
                        runs[side].append(measured(command, request | special | dict(scratch=fresh)))
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
    parser.add_argument("--grpo", action="store_true", help="whole GRPO steps beside TRL's")
    parser.add_argument("--other-side", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.other_side:
        request = json.load(sys.stdin)
        print(json.dumps(trl_side(request) if request["job"] == "grpo" else other_side(request)))
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
        jobs, theirs = (GRPO, "trl") if options.grpo else (JOBS, "torch")
        sides = {"ours": (ours, {}), theirs: ([sys.executable, __file__, "--other-side"], {})}
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
