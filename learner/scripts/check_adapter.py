#!/usr/bin/env python3
"""Compares our low-rank adapters with the peft package, both ways, on random models of three shapes.

    check_adapter.py [--json]

For each shape: an SFT of ours trains an adapter, which peft loads; `assay-train export` merges it, and transformers loads
that; peft makes an adapter of its own, which we load, and train on from. Prints the greatest differences of logits beside
the greatest logit and how far the adapter moved the logits of its base. Exit code 0 when all are within 1e-4, 1 when not.

Needs the packages of requirements.txt, and cargo to build our side.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

TOLERANCE = 1e-4
ROOT = Path(__file__).resolve().parents[2]
COMMON = dict(hidden_size=64, intermediate_size=160, num_hidden_layers=3, vocab_size=480, max_position_embeddings=512,
              initializer_range=0.1, num_attention_heads=8)
SHAPES = {
    "qwen2 tied 8/2 heads": (Qwen2ForCausalLM, Qwen2Config, dict(num_key_value_heads=2, tie_word_embeddings=True)),
    "qwen2 untied 8/8 heads": (Qwen2ForCausalLM, Qwen2Config, dict(num_key_value_heads=8, tie_word_embeddings=False)),
    "llama untied 8/1 heads": (LlamaForCausalLM, LlamaConfig, dict(num_key_value_heads=1, tie_word_embeddings=False)),
}
TEXTS = ["12+34=\\boxed{46}<|endoftext|>", "Compute 123 + 4567 = ?\n"]
RECIPE = """
[model]
load = "{base}"
[lora]
{lora}
[sft]
rows = {{ arithmetic = 16 }}
steps = 20
learning_rate = 1e-2
warmup = 2
"""


def cargo(*arguments: str, given: str | None = None) -> str:
    """What one of our programs answers."""
    command = ["cargo", "run", "--quiet", "--package", "assay-learner", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(f"check_adapter: our side failed: {done.stderr.strip()}")
    return done.stdout


def ours(**request) -> dict:
    request = {key: str(value) if isinstance(value, Path) else value for key, value in request.items()}
    return json.loads(cargo("--example", "parity", given=json.dumps(request)))


def train(base: Path, lora: str, out: Path) -> Path:
    """An adapter of ours."""
    recipe = out.with_suffix(".toml")
    recipe.write_text(RECIPE.format(base=base, lora=lora))
    cargo("--bin", "assay-train", "--", "sft", "--config", str(recipe), "--out", str(out))
    return out / "sft"


def load(directory: Path):
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()


def logits(model, ids: list[list[int]]) -> list[torch.Tensor]:
    with torch.no_grad():
        return [model(input_ids=torch.tensor([one])).logits[0] for one in ids]


def apart(one, other) -> float:
    return max((torch.as_tensor(a) - torch.as_tensor(b)).abs().max().item() for a, b in zip(one, other, strict=True))


def check(name: str, scratch: Path) -> list[dict]:
    kind, config, extra = SHAPES[name]
    torch.manual_seed(3)
    kind(config(**COMMON | extra)).save_pretrained(scratch / "theirs")
    base = scratch / "base"
    ours(model=scratch / "theirs", save=base, train_tokenizer=dict(texts=TEXTS, vocab_size=400))
    draw = torch.Generator().manual_seed(7)
    ids = [torch.randint(COMMON["vocab_size"], (length,), generator=draw).tolist() for length in (1, 5, 48, 200)]
    plain = logits(load(base), ids)

    def row(what: str, theirs, mine) -> dict:
        difference, moved = apart(theirs, mine), apart(theirs, plain)
        greatest = max(one.abs().max().item() for one in theirs)
        agree = difference <= TOLERANCE and moved > 100 * TOLERANCE
        return dict(base=name, what=what, difference=difference, moved=moved, greatest_logit=greatest, agree=agree)

    adapter = train(base, "rank = 8\nalpha = 16", scratch / "run")
    mine = ours(model=base, adapter=adapter, ids=ids)["logits"]
    theirs = logits(PeftModel.from_pretrained(load(base), adapter).eval(), ids)
    rows = [row("ours, loaded by peft", theirs, mine)]

    merged = scratch / "merged"
    cargo("--bin", "assay-train", "--", "export", "--adapter", str(adapter), "--out", str(merged))
    rows.append(row("ours merged, loaded by transformers", logits(load(merged), ids), mine))

    form = LoraConfig(r=5, lora_alpha=7, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(load(base), form).eval()
    for tensor in (value for key, value in model.named_parameters() if "lora_B" in key):
        torch.nn.init.normal_(tensor, std=0.1)
    model.save_pretrained(scratch / "of-peft")
    theirs = logits(model, ids)
    rows.append(row("peft's, loaded by us", theirs, ours(model=base, adapter=scratch / "of-peft", ids=ids)["logits"]))

    adapter = train(base, f'load = "{scratch / "of-peft"}"', scratch / "on")
    theirs = logits(PeftModel.from_pretrained(load(base), adapter).eval(), ids)
    rows.append(row("peft's, trained on by us", theirs, ours(model=base, adapter=adapter, ids=ids)["logits"]))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    arguments = parser.parse_args()
    rows = []
    for name in SHAPES:
        with tempfile.TemporaryDirectory() as scratch:
            rows += check(name, Path(scratch))
    if arguments.json:
        print(json.dumps(rows))
    else:
        print(f"{'base':24} {'what':36} {'difference':>10} {'moved':>8} {'greatest':>8}")
        for one in rows:
            figures = f"{one['difference']:10.1e} {one['moved']:8.2f} {one['greatest_logit']:8.2f}"
            print(f"{one['base']:24} {one['what']:36} {figures} {'' if one['agree'] else '  DIFFERS'}")
    return 0 if all(one["agree"] for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
