#!/usr/bin/env python3
"""Compares our GRPO loss with that of TRL's own GRPOTrainer, on random inputs.

    grpo_vs_trl.py              200 random batches for each form of the loss
    grpo_vs_trl.py --seed 3     other ones
    grpo_vs_trl.py --write      one small batch of each form, with TRL's figures, to tests/grpo/trl.json

TRL's side is GRPOTrainer._compute_loss, unchanged, in f64: of the trainer only what it reads is set, and the model's
log-probabilities are the random ones. Its gradient by them is torch's autograd. Ours is the example `grpo_loss`.
Needs the packages of requirements.txt, and cargo.
"""

import argparse
import json
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
from trl.trainer.grpo_trainer import GRPOTrainer

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "learner/tests/grpo/trl.json"
MOST_TOKENS = 12
TOLERANCE = 1e-5

# name -> our recipe's [rl.loss], TRL's arguments
FORMS = {
    "the paper": ({}, {}),
    "grpo": (dict(aggregate="sequence_mean"), dict(loss_type="grpo")),
    "bnpo": ({}, dict(loss_type="bnpo")),
    "dr_grpo": (dict(aggregate="constant"), dict(loss_type="dr_grpo")),
    "asymmetric clip": (dict(clip_high=0.28), dict(epsilon_high=0.28)),
    "dual clip": (dict(clip_low=0.1, clip_high=0.1, dual_clip=1.3), dict(epsilon_low=0.1, epsilon_high=0.1, delta=1.3)),
    "gspo": (
        dict(policy="gspo", aggregate="sequence_mean", clip_low=3e-4, clip_high=4e-4),
        dict(loss_type="grpo", importance_sampling_level="sequence", epsilon_low=3e-4, epsilon_high=4e-4),
    ),
    "gspo, wide": (dict(policy="gspo"), dict(importance_sampling_level="sequence")),
    # TRL's CISPO has no lower bound, and its epsilon_high is the bound itself.
    "cispo": (dict(policy="cispo", clip_low=1.0, clip_high=0.2), dict(loss_type="cispo", epsilon_high=1.2)),
    "kl k3": (dict(kl=dict(coefficient=0.04, estimator="k3")), dict(beta=0.04)),
    "kl k3, grpo": (dict(aggregate="sequence_mean", kl=dict(coefficient=0.1)), dict(loss_type="grpo", beta=0.1)),
    "truncated is": (dict(mismatch=dict(correction="truncate", high=1.1)), dict(weights=lambda w: w.clamp(max=1.1))),
    "masked is": (
        dict(mismatch=dict(correction="mask", low=0.9, high=1.1)),
        dict(weights=lambda w: w.masked_fill((w < 0.9) | (w > 1.1), 0.0)),
    ),
    "gspo, truncated is": (
        dict(policy="gspo", mismatch=dict(correction="truncate", high=1.1)),
        dict(importance_sampling_level="sequence", weights=lambda w: w.clamp(max=1.1)),
    ),
}


def a_batch(rng: random.Random, on_policy: bool) -> dict:
    """Log-probabilities of some completions of two prompts, as f32 holds them, so that both sides read the same."""
    f32 = lambda values: torch.tensor(values, dtype=torch.float32).tolist()
    completions = []
    for index in range(rng.randint(3, 6)):
        now = [-rng.expovariate(1.0) - 1e-3 for _ in range(rng.randint(1, MOST_TOKENS))]
        near = lambda values, by: f32([value + rng.gauss(0, by) for value in values])
        old = now if on_policy else near(now, 0.25)
        completions.append(
            dict(advantage=rng.gauss(0, 1), group=index % 2, logprobs=f32(now), old=f32(old), sampled=near(old, 0.1), reference=near(now, 0.3))
        )
    return dict(max_completion_length=MOST_TOKENS, completions=completions)


def trl_side(batch: dict, arguments: dict) -> tuple[float, list[list[float]]]:
    """The loss and its derivatives by the log-probabilities, by TRL."""
    options = dict(loss_type="dapo", epsilon_low=0.2, epsilon_high=0.2, delta=None, beta=0.0, importance_sampling_level="token", weights=None)
    options |= arguments
    completions = batch["completions"]
    lengths = [len(completion["logprobs"]) for completion in completions]
    pad = lambda key: torch.stack([
        torch.tensor(c[key] + [0.0] * (MOST_TOKENS - n), dtype=torch.float64) for c, n in zip(completions, lengths)
    ])
    mask = torch.tensor([[1] * n + [0] * (MOST_TOKENS - n) for n in lengths])
    logprobs = pad("logprobs").requires_grad_()

    trainer = object.__new__(GRPOTrainer)
    trainer.__dict__.update(
        _get_per_token_logps_and_entropies=lambda *_, **__: (logprobs, torch.zeros_like(logprobs), None),
        args=SimpleNamespace(delta=options["delta"], use_bias_correction_kl=False, steps_per_generation=1),
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(num_processes=1, reduce=lambda x, **_: x, gather=lambda x: x, sync_gradients=True),
        current_gradient_accumulation_steps=1,
        max_completion_length=batch["max_completion_length"],
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        aux_loss_enabled=False,
        use_vllm=options["weights"] is not None,
        vllm_importance_sampling_correction=options["weights"] is not None,
        _entropy_bonus_enabled=False,
        _metrics=dict(train=defaultdict(list)),
        **{key: options[key] for key in ("loss_type", "epsilon_low", "epsilon_high", "beta", "importance_sampling_level")},
    )
    weights = options["weights"] or (lambda w: w)
    ids = torch.ones_like(mask)
    inputs = dict(
        prompt_ids=ids,
        prompt_mask=mask,
        completion_ids=ids,
        completion_mask=mask,
        advantages=torch.tensor([c["advantage"] for c in completions], dtype=torch.float64),
        old_per_token_logps=pad("old"),
        ref_per_token_logps=pad("reference"),
        importance_sampling_ratio=weights((pad("old") - pad("sampled")).exp()),
        num_items_in_batch=mask.sum(),
    )
    loss = trainer._compute_loss(None, inputs)
    loss.backward()
    return loss.item(), [row[:n].tolist() for row, n in zip(logprobs.grad, lengths)]


def our_side(cases: list[dict]) -> list[dict]:
    command = ["cargo", "run", "-q", "--locked", "-p", "assay-learner", "--example", "grpo_loss"]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(cases), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=200, help="random batches for each form")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="record one batch of each form for cargo test")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    rows = []
    for name, (ours, theirs) in FORMS.items():
        for _ in range(1 if arguments.write else arguments.batches):
            case = dict(loss=ours, **a_batch(rng, on_policy=name == "the paper"))
            loss, derivatives = trl_side(case, theirs)
            rows.append(dict(name=name, case=case, loss=loss, derivatives=derivatives))
    if arguments.write:
        RECORDED.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
        return 0
    worst = defaultdict(lambda: [0.0, 0.0])
    for row, answer in zip(rows, our_side([row["case"] for row in rows]), strict=True):
        pairs = zip(sum(row["derivatives"], []), sum(answer["derivatives"], []), strict=True)
        apart = [abs(row["loss"] - answer["loss"]), max(abs(a - b) for a, b in pairs)]
        worst[row["name"]] = [max(pair) for pair in zip(worst[row["name"]], apart)]
    print(f"{'form':20} {'loss apart':>12} {'gradient apart':>15}   ({arguments.batches} batches each, seed {arguments.seed})")
    for name, (loss, gradient) in worst.items():
        print(f"{name:20} {loss:12.1e} {gradient:15.1e}")
    fine = all(max(pair) <= TOLERANCE for pair in worst.values())
    print(f"all within {TOLERANCE}" if fine else f"NOT within {TOLERANCE}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
