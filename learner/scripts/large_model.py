#!/usr/bin/env python3
"""Holds the memory of models of the field's sizes to its bounds, in models of random_checkpoint.py with Qwen2.5-7B's real
widths, heads and vocabulary.

    large_model.py --assay-train PROGRAM --out DIR

  train   2 layers, 1.56 billion parameters: a step of SFT, its checkpoint and two sampled tokens, each within 20 GiB
  load    12 layers, 15.5 GB of f32: loading and sampling two tokens within 3 GiB above the weights

The step keeps its moments in 8 bits on the CPU. In f32 they alone are 11.6 GiB, and with weights and gradients, 5.8 each, it
would need 23. The files that are loaded have holes in place of numbers, so this shows memory and not a disk; --random writes
the numbers. DIR needs 13 GB for a while, with --random 16; what is written there is removed. Where the machine has too little
memory or disk for a part, that part is skipped, and said. Needs Python alone.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import random_checkpoint
from random_checkpoint import SIZES, numbers, tensors

GIB = 1 << 30
STEP_BOUND = 20 * GIB
LOAD_BOUND = 3 * GIB
# A tokenizer to be put beside the random weights: the one that a fresh model of the learner has.
TINY = """seed = 1
[model]
hidden_size = 16
intermediate_size = 16
num_hidden_layers = 1
num_attention_heads = 1
num_key_value_heads = 1
[sft]
rows = { arithmetic = 1 }
steps = 1
learning_rate = 1e-3
"""
LOADED = """seed = 1
[model]
load = "model"
[adamw]
moments = "8bit"
[sft]
rows = { arithmetic = 4 }
steps = 1
learning_rate = 1e-5
warmup = 0
"""


def weights(layers: int) -> int:
    """Bytes of a model's parameters in memory, as f32."""
    return 4 * sum(numbers(shape) for _, shape in tensors(SIZES, layers))


def peak(command: list) -> int:
    """The most bytes that a command had in memory."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"large_model: {' '.join(map(str, command))} ended with {process.returncode}")
    return usage.ru_maxrss * 1024


def room(part: str, folder: Path, memory: int, disk: int) -> bool:
    """Whether the machine has so much of both."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    there = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    free = shutil.disk_usage(folder).free
    if there >= memory and free >= disk:
        return True
    print(
        f"SKIPPED: {part} needs {memory / GIB:.0f} GiB of memory and {disk / 1e9:.0f} GB in {folder}; "
        f"there are {there / GIB:.0f} GiB and {free / 1e9:.0f} GB",
        file=sys.stderr,
    )
    return False


class Bench:
    def __init__(self, program: Path, folder: Path) -> None:
        self.program, self.folder, self.over = program.resolve(), folder, 0

    def assay_train(self, verb: str, run: Path, *more: str) -> int:
        place = ["--config", run / "recipe-given.toml", "--out", run / "run", "--device", "cpu"]
        return peak([self.program, verb, *place, *more])

    def sample(self, run: Path) -> int:
        return self.assay_train("sample", run, "--prompt", "1+1=", "--max-tokens", "2", "--temperature", "0")

    def start(self, name: str, recipe: str) -> Path:
        run = self.folder / name
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        (run / "recipe-given.toml").write_text(recipe)
        return run

    def with_model(self, name: str, *options: str) -> Path:
        """A folder with a random model in it, and the tokenizer of a tiny one."""
        tiny = self.start("tiny", TINY)
        self.assay_train("sft", tiny)
        run = self.start(name, LOADED)
        command = [sys.executable, random_checkpoint.__file__, run / "model", "--tokenizer", tiny / "run/sft", *options]
        subprocess.run([str(word) for word in command], check=True)
        shutil.rmtree(tiny)
        return run

    def hold(self, what: str, bytes_: int, bound: int, above: int = 0) -> None:
        fine = bytes_ - above <= bound
        self.over += not fine
        of = f" above the {above / GIB:.2f} of the weights" if above else ""
        print(f"{what}: {(bytes_ - above) / GIB:.2f} GiB{of}, at most {bound / GIB:.0f}{'' if fine else ': TOO MUCH'}", flush=True)

    def train(self) -> None:
        held = weights(2)
        # Weights and gradients, moments of 8 bits, and something to work in; on the disk bf16, f32 and the moments.
        if not room("train", self.folder, 3 * held, held * 5 // 2):
            return
        run = self.with_model("train", "--layers", "2")
        self.hold("a step of 2 layers", self.assay_train("sft", run), STEP_BOUND)
        self.hold("sampling of them", self.sample(run), STEP_BOUND)
        shutil.rmtree(run)

    def load(self, random: bool) -> None:
        held = weights(12)
        if not room("load", self.folder, held + LOAD_BOUND, held * 21 // 20 if random else GIB):
            return
        run = self.with_model("load", "--layers", "12", "--dtype", "f32", *([] if random else ["--zeros"]))
        self.hold("loading and sampling 12 layers", self.sample(run), LOAD_BOUND, held)
        shutil.rmtree(run)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--assay-train", type=Path, required=True, metavar="PROGRAM")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--random", action="store_true", help="load 15.5 GB of numbers, not of holes")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.assay_train, options.out)
    bench.train()
    bench.load(options.random)
    return 1 if bench.over else 0


if __name__ == "__main__":
    sys.exit(main())
