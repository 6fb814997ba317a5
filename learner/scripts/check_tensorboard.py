#!/usr/bin/env python3
"""Reads a run's event files with TensorBoard's own reader and compares them with its metrics.jsonl.

    check_tensorboard.py DIR [DIR ...]     directories of runs, as `assay-train rl --out DIR` leaves them

Every scalar must have exactly the steps of metrics.jsonl (a resumed run's repeated steps once), and reward, entropy and
learning rate their values. Needs PyPI's `tensorboard`.
"""

import json
import math
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SAME = {"train/reward": "reward_mean", "train/entropy": "entropy", "train/learning_rate": "learning_rate"}


def check(directory: Path) -> str | None:
    """What is wrong, if anything is."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    events = EventAccumulator(str(directory / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    if not set(SAME) <= set(tags):
        return f"no {sorted(set(SAME) - set(tags))} among {tags}"
    for tag in tags:
        steps = [event.step for event in events.Scalars(tag)]
        if steps != [line["step"] for line in lines]:
            return f"{tag} has the steps {steps}"
    for tag, key in SAME.items():
        for event, line in zip(events.Scalars(tag), lines):
            if not math.isclose(event.value, line[key], rel_tol=1e-6, abs_tol=1e-9):
                return f"{tag} is {event.value} at step {event.step}, {key} is {line[key]}"
    print(f"{directory}: {len(tags)} scalars of {len(lines)} steps agree")
    return None


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 2
    wrong = {name: what for name in sys.argv[1:] if (what := check(Path(name)))}
    for name, what in wrong.items():
        print(f"{name}: {what}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
