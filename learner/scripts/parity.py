#!/usr/bin/env python3
"""Compares our model, its training, tokenizer and chat templates with the transformers package and torch.

    parity.py                  random checkpoints of several shapes: written by transformers and read by us,
                               then written by us and read by transformers; then, on one model of 3.1 and one of
                               24.6 million parameters: logits, loss, every gradient, AdamW, 64 greedy tokens
    parity.py DIR [DIR ...]    checkpoint directories written by us, such as the quickstart's
    parity.py --tokenizer DIR  the tokenizer of another model, such as Qwen2.5's: its tokenizer.json and
                               tokenizer_config.json, token ids of all kinds of text and its chat template
    parity.py --freeze DIR     writes what learner/tests/parity holds: two small models and the figures
                               that transformers and torch compute with them

Prints tables (or, with --json, one JSON value) of the greatest differences and whether texts become the same
token ids and come back. Exit code 0 when all agree, 1 when not, 2 for a DIR that is none.

Needs the packages of requirements.txt, and cargo to build our side.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers import Qwen2Config, Qwen2ForCausalLM

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


# Shapes that are trained: name, class, configuration, lengths of the sequences.
TRAINED = {
    "S, 3.1 M, tied": (
        Qwen2ForCausalLM,
        Qwen2Config,
        dict(hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=600, max_position_embeddings=512, initializer_range=0.06, tie_word_embeddings=True),
        (48, 48, 17, 150),
    ),
    "M, 24.6 M, untied": (
        Qwen2ForCausalLM,
        Qwen2Config,
        dict(hidden_size=512, intermediate_size=1408, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=2,
             vocab_size=2048, max_position_embeddings=512, initializer_range=0.04, tie_word_embeddings=False,
             rope_parameters=dict(rope_type="default", rope_theta=1e6)),
        (48, 48, 17, 150),
    ),
}
FROZEN = {
    "tied": (
        Qwen2ForCausalLM,
        Qwen2Config,
        dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=64, max_position_embeddings=128, initializer_range=0.4, tie_word_embeddings=True),
        (9, 1 + 5, 20),
    ),
    "untied": (
        Qwen2ForCausalLM,
        Qwen2Config,
        dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
             vocab_size=64, max_position_embeddings=128, initializer_range=0.4, tie_word_embeddings=False,
             rope_parameters=dict(rope_type="default", rope_theta=1e6)),
        (9, 1 + 5, 20),
    ),
}
ADAMW = dict(steps=3, learning_rate=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
BOUNDS = dict(logits=1e-4, loss=1e-5, gradients=1e-4, adamw=1e-6)
GREEDY = 64
# How near the second best token may come before a greedy continuation says nothing about either side.
MARGIN = 1e-3

TEMPLATE = """\
{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou do sums.<|im_end|>\\n' }}
{%- endif %}
{% for message in messages %}
    {# Python's methods, JSON as Python writes it, and lines that leave nothing behind. #}
    {% if message.role == 'system' %}{% continue %}{% endif %}
<|im_start|>{{ message.role }}
{{ message.content.strip().split('</think>')[-1].lstrip('\\n') }}|{{ message | tojson }}|{{ [1, {'a': none}] | tojson(indent=2) }}
    {%- if not loop.last and messages[loop.index0 + 1].role.startswith('user') %} before a user{% endif %}
<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
TALK = [
    dict(role="user", content="  1 < 2 & 'x' \u00e9\n"),
    dict(role="assistant", content="<think>so</think>\n\nyes"),
    dict(role="user", content="why?"),
]
# What a template of a real model says where nobody said anything, and where somebody did.
TALKS = [TALK[:1], TALK, [dict(role="system", content="Think first."), *TALK]]


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


def compare_texts(tokenizer, answer: dict, texts: list[str] = TEXTS) -> tuple[str, bool]:
    same = sum(
        tokenizer(text, add_special_tokens=False)["input_ids"] == ids
        and decoded == text
        and tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
        for text, ids, decoded in zip(texts, answer["encoded"], answer["decoded"], strict=True)
    )
    return f"{same} of {len(texts)}", same == len(texts)


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
    model = random_model(kind, config, COMMON | extra)
    theirs, again = scratch / "theirs", scratch / "ours"
    model.save_pretrained(theirs)
    ids = sequences(model.config)
    training = dict(texts=TEXTS * 3, vocab_size=400)
    answer = ours(dict(model=str(theirs), ids=ids, save=str(again), train_tokenizer=training))
    read = row(f"{name}, theirs read by us", *difference(model, ids, answer["logits"]), "-", True)
    return [read, written_by_us(str(again), f"{name}, ours read by them")]


def random_model(kind, config, numbers):
    torch.manual_seed(3)
    model = kind(config(**numbers)).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:  # norms and biases start at 1 and 0, which would hide a missing one
            torch.nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.1)
    return model


def figures(directory: Path, kind, config, numbers: dict, lengths) -> None:
    """Writes a checkpoint and what transformers and torch compute with it."""
    model = random_model(kind, config, numbers)
    model.generation_config.eos_token_id = None
    model.config.eos_token_id = None
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    draw = torch.Generator().manual_seed(11)
    rows = [torch.randint(model.config.vocab_size, (length,), generator=draw) for length in lengths]
    tensors, total, count = {}, 0.0, sum(len(row) - 1 for row in rows)
    for index, row in enumerate(rows):
        logits = model(input_ids=row[None]).logits[0]
        tensors[f"logits.{index}"] = logits.detach().clone()
        total = total + torch.nn.functional.cross_entropy(logits[:-1], row[1:], reduction="sum")
    loss = total / count
    loss.backward()
    named = dict(model.named_parameters())
    tensors |= {f"gradient.{name}": parameter.grad.clone() for name, parameter in named.items()}
    prompt = rows[0][:4]
    with torch.no_grad():
        tokens = model.generate(prompt[None], do_sample=False, max_new_tokens=GREEDY)[0, len(prompt) :]
        best = model(input_ids=torch.cat([prompt, tokens])[None]).logits[0, len(prompt) - 1 : -1].topk(2).values
    near = (best[:, 0] - best[:, 1]).min().item()
    assert len(tokens) == GREEDY and near > MARGIN, f"choose another seed: two tokens are within {near}"
    rule = ADAMW
    step = torch.optim.AdamW(model.parameters(), lr=rule["learning_rate"], betas=rule["betas"], eps=rule["eps"],
                             weight_decay=rule["weight_decay"])
    for _ in range(rule["steps"]):
        step.step()
    tensors |= {f"adamw.{name}": parameter.detach().clone() for name, parameter in named.items()}
    save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, directory / "parity.safetensors")
    case = dict(sequences=[row.tolist() for row in rows], loss=loss.item(), adamw=ADAMW,
                greedy=dict(prompt=prompt.tolist(), tokens=tokens.tolist()))
    (directory / "parity.json").write_text(json.dumps(case) + "\n")


def trained(name: str) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        figures(Path(scratch), *TRAINED[name])
        found = ours(dict(model=scratch, compare=True))
    agree = all(found[key] <= bound for key, bound in BOUNDS.items()) and found["greedy"] == GREEDY
    return dict(model=name, agree=agree) | found


def same_rendering() -> bool:
    """Whether a conversation becomes the same text through transformers' own template engine."""
    return renders_alike(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE())), TEMPLATE, TALK)


def renders_alike(tokenizer, template: str, talk: list[dict]) -> bool:
    theirs = tokenizer.apply_chat_template(talk, chat_template=template, tokenize=False, add_generation_prompt=True)
    mine = ours(dict(model="", template=template, messages=talk))["rendered"]
    if mine != theirs:
        print(f"parity: a template renders as {mine!r} here and {theirs!r} there", file=sys.stderr)
    return mine == theirs


def real_tokenizer(folder: Path) -> int:
    """A tokenizer that neither side made: texts of all kinds, each of Unicode's planes, and conversations."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sources = [path.read_text() for path in sorted(Path(__file__).resolve().parents[2].glob("*/DESIGN.md"))]
    planes = ["".join(map(chr, range(start, start + 0x200))) for start in range(0, 0x20000, 0x200) if not 0xD800 <= start < 0xE000]
    texts = TEXTS + [Path(__file__).read_text(), *sources, *planes]
    # A text may come back as its composed form: what is compared with is the text after the normalizer.
    texts = [unicodedata.normalize("NFC", text) for text in texts]
    with tempfile.TemporaryDirectory() as scratch:
        sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)
        Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), **sizes)).save_pretrained(scratch)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(folder / name, scratch)
        answer = ours(dict(model=scratch, texts=texts))
    said, same = compare_texts(tokenizer, answer, texts)
    rendered = sum(renders_alike(tokenizer, tokenizer.chat_template, talk) for talk in TALKS)
    tokens = sum(map(len, answer["encoded"]))
    print(f"{len(tokenizer)} tokens; texts alike: {said} ({tokens} tokens); conversations alike: {rendered} of {len(TALKS)}")
    return 0 if same and rendered == len(TALKS) else 1


def freeze(directory: Path) -> int:
    for name, shape in FROZEN.items():
        (directory / name).mkdir(parents=True, exist_ok=True)
        figures(directory / name, *shape)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directories", nargs="*", metavar="DIR", help="checkpoint directory written by us")
    parser.add_argument("--json", action="store_true", help="print one JSON value instead of the table")
    parser.add_argument("--freeze", metavar="DIR", help="write the figures that the tests compare with")
    parser.add_argument("--tokenizer", metavar="DIR", help="directory of another model's tokenizer.json and tokenizer_config.json")
    options = parser.parse_args()
    if options.tokenizer:
        return real_tokenizer(Path(options.tokenizer))
    if options.freeze:
        return freeze(Path(options.freeze))
    found = [(checkpoint(directory), directory) for directory in options.directories]
    rows = [written_by_us(*directory) for directory in found]
    runs, renders = [], True
    if not rows:
        renders = same_rendering()
        runs = [trained(name) for name in TRAINED]
        for name in SHAPES:
            with tempfile.TemporaryDirectory() as scratch:
                rows += written_by_transformers(Path(scratch), name)
    if options.json:
        print(json.dumps(dict(tolerance=TOLERANCE, rows=rows, bounds=BOUNDS, trained=runs, templates_agree=renders)))
    else:
        width = max(len(one["checkpoint"]) for one in rows)
        print(f"{'checkpoint':{width}}  logits differ by  greatest logit  texts agree")
        for one in rows:
            verdict = "ok" if one["agree"] else "DIFFERENT"
            print(
                f"{one['checkpoint']:{width}}  {one['difference']:16.1e}  {one['greatest_logit']:14.2f}  "
                f"{one['texts']:11}  {verdict}"
            )
        for one in runs:
            verdict = "ok" if one["agree"] else "DIFFERENT"
            print(
                f"{one['model']}: logits {one['logits']:.1e}, loss {one['loss']:.1e}, gradients {one['gradients']:.1e} "
                f"({one['tensors']} tensors), AdamW {one['adamw']:.1e}, greedy {one['greedy']} of {GREEDY}  {verdict}"
            )
    return 0 if all(one["agree"] for one in rows + runs) and renders else 1


if __name__ == "__main__":
    sys.exit(main())
