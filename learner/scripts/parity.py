#!/usr/bin/env python3
"""Compares our model and tokenizer with the transformers package, in both directions.

    parity.py                  random checkpoints of several shapes: written by transformers and read by us,
                               then written by us and read by transformers
    parity.py DIR [DIR ...]    checkpoint directories written by us, such as the quickstart's

Prints a table (or, with --json, one JSON value) of the greatest difference of logits and whether texts
become the same token ids and come back. Exit code 0 when all agree, 1 when not, 2 for a DIR that is none.

Needs the packages of requirements.txt, and cargo to build our side.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, Qwen2Config
from transformers import Qwen2ForCausalLM

TOLERANCE = 1e-4
TEXTS = [
    "Compute 123 + 4567 = ?\n",
    "def add(a, b):\n\treturn a + b\n\n\n",
    "  spaces   and\r\nline ends  ",
    "na\u00efve caf\u00e9 \u4e2d\u6587 \u0440\u0443\u0441 \U0001f600",
    "it's 3.14e-10 != \"x\" && y[0] || {z}",
    "f(a,b)=3a-2b+14\n```python\na,b=map(int,input().split())\nprint(3*a-2*b+14)\n```",
    "12+34=\\boxed{46}<|endoftext|>",
    "",
]
COMMON = dict(
    hidden_size=64,
    intermediate_size=160,
    num_hidden_layers=3,
    vocab_size=480,
    max_position_embeddings=512,
    initializer_range=0.1,
)
SHAPES = {
    "qwen2 tied 8/2 heads": (Qwen2ForCausalLM, Qwen2Config, dict(num_attention_heads=8, num_key_value_heads=2, tie_word_embeddings=True)),
    "qwen2 untied 4/4 heads": (Qwen2ForCausalLM, Qwen2Config, dict(num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=False)),
    "qwen2 untied 6/2 theta 1e6": (
        Qwen2ForCausalLM,
        Qwen2Config,
        dict(
            hidden_size=96,
            num_attention_heads=6,
            num_key_value_heads=2,
            tie_word_embeddings=False,
            rope_parameters=dict(rope_type="default", rope_theta=1e6),
        ),
    ),
    "llama untied 4/1 heads": (LlamaForCausalLM, LlamaConfig, dict(num_attention_heads=4, num_key_value_heads=1, tie_word_embeddings=False)),
}


def ours(request: dict) -> dict:
    """Asks our side, which is the example binary `parity`."""
    root = Path(__file__).resolve().parents[2]
    command = ["cargo", "run", "--quiet", "--package", "assay-learner", "--example", "parity"]
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, cwd=root)
    if done.returncode != 0:
        sys.exit(f"parity: our side failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def sequences(config) -> list[list[int]]:
    generator = torch.Generator().manual_seed(7)
    lengths = [min(length, config.max_position_embeddings) for length in (1, 5, 48, 200)]
    return [torch.randint(config.vocab_size, (length,), generator=generator).tolist() for length in lengths]


def difference(model, ids: list[list[int]], logits: list) -> tuple[float, float]:
    """Greatest difference of logits, and the greatest logit, for scale."""
    worst, scale = 0.0, 0.0
    with torch.no_grad():
        for one, theirs in zip(ids, logits, strict=True):
            reference = model(input_ids=torch.tensor([one])).logits[0]
            worst = max(worst, (reference - torch.tensor(theirs)).abs().max().item())
            scale = max(scale, reference.abs().max().item())
    return worst, scale


def row(name: str, worst: float, scale: float, texts: str, texts_agree: bool) -> dict:
    agree = worst <= TOLERANCE and texts_agree
    return dict(checkpoint=name, difference=worst, greatest_logit=scale, texts=texts, agree=agree)


def compare_texts(tokenizer, answer: dict) -> tuple[str, bool]:
    same = sum(
        tokenizer(text, add_special_tokens=False)["input_ids"] == ids
        and decoded == text
        and tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
        for text, ids, decoded in zip(TEXTS, answer["encoded"], answer["decoded"], strict=True)
    )
    return f"{same} of {len(TEXTS)}", same == len(TEXTS)


def checkpoint(directory: str) -> str:
    """The absolute path of a checkpoint directory: our side is started elsewhere."""
    path = Path(directory).resolve()
    if not (path / "config.json").is_file():
        print(f"parity: {directory} holds no config.json; give a checkpoint directory", file=sys.stderr)
        sys.exit(2)
    return str(path)


def written_by_us(directory: str, name: str) -> dict:
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    ids = sequences(model.config)
    answer = ours(dict(model=directory, ids=ids, texts=TEXTS))
    return row(name, *difference(model, ids, answer["logits"]), *compare_texts(tokenizer, answer))


def written_by_transformers(scratch: Path, name: str) -> list[dict]:
    kind, config, extra = SHAPES[name]
    torch.manual_seed(3)
    model = kind(config(**(COMMON | extra))).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:  # norms and biases start at 1 and 0, which would hide a missing one
            torch.nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.1)
    theirs, again = scratch / "theirs", scratch / "ours"
    model.save_pretrained(theirs)
    ids = sequences(model.config)
    training = dict(texts=TEXTS * 3, vocab_size=400)
    answer = ours(dict(model=str(theirs), ids=ids, save=str(again), train_tokenizer=training))
    read = row(f"{name}, theirs read by us", *difference(model, ids, answer["logits"]), "-", True)
    return [read, written_by_us(str(again), f"{name}, ours read by them")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directories", nargs="*", metavar="DIR", help="checkpoint directory written by us")
    parser.add_argument("--json", action="store_true", help="print one JSON value instead of the table")
    options = parser.parse_args()
    found = [(checkpoint(directory), directory) for directory in options.directories]
    rows = [written_by_us(*directory) for directory in found]
    if not rows:
        for name in SHAPES:
            with tempfile.TemporaryDirectory() as scratch:
                rows += written_by_transformers(Path(scratch), name)
    if options.json:
        print(json.dumps(dict(tolerance=TOLERANCE, rows=rows)))
    else:
        width = max(len(one["checkpoint"]) for one in rows)
        print(f"{'checkpoint':{width}}  logits differ by  greatest logit  texts agree")
        for one in rows:
            verdict = "ok" if one["agree"] else "DIFFERENT"
            print(
                f"{one['checkpoint']:{width}}  {one['difference']:16.1e}  {one['greatest_logit']:14.2f}  "
                f"{one['texts']:11}  {verdict}"
            )
    return 0 if all(one["agree"] for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
