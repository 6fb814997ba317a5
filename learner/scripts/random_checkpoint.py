#!/usr/bin/env python3
"""Writes a checkpoint directory of random weights with the widths, heads and vocabulary of Qwen2.5-7B, as few layers as wanted.

    random_checkpoint.py DIR                          two layers in bf16, 3.1 GB
    random_checkpoint.py DIR --layers 28              as large as the real one, 15.2 GB
    random_checkpoint.py DIR --tokenizer OTHER        with the tokenizer of another checkpoint, to sample and train
    random_checkpoint.py DIR --layers 12 --dtype f32 --zeros
                                                      15.5 GB of zeros that take no space on the disk, to load

For measuring memory and time of loading, training and sampling; such a model says nothing. Weights are written a piece
at a time, so that this needs little memory. Needs Python alone.
"""

import argparse
import json
import random
import shutil
import struct
import sys
from pathlib import Path

SIZES = dict(hidden_size=3584, intermediate_size=18944, num_attention_heads=28, num_key_value_heads=4, vocab_size=152064)
PIECE = 4 << 20
BYTES = dict(bf16=2, f32=4)
# The upper byte of a number: 0.008 to 0.03, either sign, so a deviation of 0.019, about that of trained weights.
UPPER = bytes(0x3C if byte & 1 else 0xBC for byte in range(256))
ONE = dict(bf16=struct.pack("<H", 0x3F80), f32=struct.pack("<f", 1.0))


def tensors(sizes: dict, layers: int) -> list[tuple[str, list[int]]]:
    """Names and shapes as transformers names them."""
    width, inner = sizes["hidden_size"], sizes["intermediate_size"]
    key = width // sizes["num_attention_heads"] * sizes["num_key_value_heads"]
    found = [("model.embed_tokens.weight", [sizes["vocab_size"], width])]
    for layer in range(layers):
        shapes = {"input_layernorm.weight": [width], "post_attention_layernorm.weight": [width]}
        for name, rows in dict(q=width, k=key, v=key).items():
            shapes |= {f"self_attn.{name}_proj.weight": [rows, width], f"self_attn.{name}_proj.bias": [rows]}
        shapes |= {"self_attn.o_proj.weight": [width, width], "mlp.down_proj.weight": [width, inner]}
        shapes |= {f"mlp.{name}_proj.weight": [inner, width] for name in ("gate", "up")}
        found += [(f"model.layers.{layer}.{name}", shape) for name, shape in shapes.items()]
    return found + [("model.norm.weight", [width]), ("lm_head.weight", [sizes["vocab_size"], width])]


def numbers(shape: list[int]) -> int:
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def write_tensor(file, name: str, shape: list[int], dtype: str, source: random.Random | None) -> None:
    left, size = numbers(shape), BYTES[dtype]
    if source is None:
        # A hole: what is read there is 0.
        file.truncate(file.seek(left * size, 1))
        return
    if name.endswith("norm.weight"):
        file.write(ONE[dtype] * left)
        return
    while left:
        count = min(left, PIECE // size)
        piece = bytearray(source.randbytes(count * size))
        piece[size - 1 :: size] = piece[size - 1 :: size].translate(UPPER)
        file.write(piece)
        left -= count


def write_shard(path: Path, shard: list, dtype: str, source: random.Random | None) -> None:
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shard:
        start, end = end, end + numbers(shape) * BYTES[dtype]
        header[name] = dict(dtype=dtype.upper(), shape=shape, data_offsets=[start, end])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shard:
            write_tensor(file, name, shape, dtype, source)


def shards(found: list, dtype: str, most: int) -> list[list]:
    parts, size = [[]], 0
    for name, shape in found:
        bytes_ = numbers(shape) * BYTES[dtype]
        if parts[-1] and size + bytes_ > most:
            parts.append([])
            size = 0
        parts[-1].append((name, shape))
        size += bytes_
    return parts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--dtype", choices=BYTES, default="bf16")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-shard-bytes", type=int, default=5_000_000_000)
    parser.add_argument("--zeros", action="store_true", help="zeros instead, in files with holes")
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="a checkpoint whose tokenizer files are copied")
    options = parser.parse_args()
    found = tensors(SIZES, options.layers)
    total = sum(numbers(shape) for _, shape in found)
    size = total * BYTES[options.dtype]
    options.directory.mkdir(parents=True)
    free = shutil.disk_usage(options.directory).free
    if size > free and not options.zeros:
        sys.exit(f"random_checkpoint: {size / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free in {options.directory}")
    source, index = None if options.zeros else random.Random(options.seed), {}
    parts = shards(found, options.dtype, options.max_shard_bytes)
    for at, shard in enumerate(parts, 1):
        name = f"model-{at:05}-of-{len(parts):05}.safetensors"
        write_shard(options.directory / name, shard, options.dtype, source)
        index |= {tensor: name for tensor, _ in shard}
        print(f"{name}: {len(shard)} tensors", file=sys.stderr)
    config = dict(
        architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_act="silu", initializer_range=0.02,
        max_position_embeddings=32768, num_hidden_layers=options.layers, rms_norm_eps=1e-6, rope_theta=1e6,
        tie_word_embeddings=False, use_sliding_window=False, eos_token_id=151643, dtype="bfloat16", **SIZES,
    )  # fmt: skip
    config |= {} if options.dtype == "bf16" else dict(dtype="float32")
    write = lambda name, value: (options.directory / name).write_text(json.dumps(value, indent=2) + "\n")
    write("model.safetensors.index.json", dict(metadata=dict(total_size=size), weight_map=index))
    write("config.json", config)
    for path in options.tokenizer.glob("tokenizer*.json") if options.tokenizer else []:
        shutil.copy(path, options.directory)
    print(f"{total / 1e9:.2f} billion parameters, {size / 1e9:.1f} GB in {options.directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
