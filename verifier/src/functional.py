"""Calls a submission's function with inputs that come as frames and sends back what it returned.

Runs inside the box as `__main__`, in the same process as the submission, so nobody believes it: what it
sends is data that the judge compares outside. A frame is a little-endian 32-bit length and that many bytes;
they come on fd 0, which is moved away (the submission finds an empty stdin), and go out on fd 3. A frame
begins with eight bytes that its answer begins with too, so none can be sent in advance. One answer
per frame received, in CPython's marshal format, version 2:

    JSON {source, blocks, ...}        ->  ("done",) | ("refused", message)
    empty                             ->  ("done",) | ("raised", class, text)
    one JSON value (literal) a line   ->  ("plain" or "marked", value) | ("raised", ...) | ("unsendable", why)

A submission that ends the process (SystemExit, os._exit) ends it without an answer.
"""

import json
import marshal
import os
import struct
import sys
import types
from decimal import Decimal
from fractions import Fraction

VALUES = 3
MAX_DEPTH = 1000
MAX_EXPONENT = 10_000


def main():
    channel = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    os.close(reading)
    os.close(writing)

    token, text = receive(channel)
    load = json.loads(text)
    try:
        if load["blocks"]:
            load["source"] = definitions(load["blocks"])
        code = compile(load["source"], "<submission>", "exec", dont_inherit=True)
    except Exception as error:
        return send(token, ("refused", describe(error)))
    send(token, ("done",))

    loads = json.loads
    if load["literals"]:
        from ast import literal_eval as loads

    token, _ = receive(channel)
    try:
        call = define(code, load)
    except Exception as error:
        return send(token, ("raised", type(error).__name__, describe(error)))
    send(token, ("done",))

    while (frame := receive(channel)) is not None:
        send_answer(call, *frame, loads)


def definitions(blocks):
    """What the blocks import, assign and define at their top level, one after the other."""
    import ast

    kept = []
    for block in blocks:
        try:
            body = ast.parse(block).body
        except (SyntaxError, ValueError):
            continue
        kinds = (ast.Import, ast.ImportFrom, ast.Assign, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        kept += [node for node in body if isinstance(node, kinds)]
    return ast.unparse(ast.Module(kept, []))


def define(code, load):
    """Runs the submission as a module; the function, bound to one `Solution` if the text has such a class."""
    module = types.ModuleType("submission")
    sys.modules["submission"] = module
    exec(load["prelude"], module.__dict__)
    exec(code, module.__dict__)
    method = "class Solution" in load["source"] and not load["literals"]
    owner = module.Solution() if method else module
    return getattr(owner, load["function"])


def send_answer(call, token, text, loads, dumps=marshal.dumps):
    try:
        result = call(*[loads(line) for line in text.split("\n") if line])
    except Exception as error:
        return send(token, ("raised", type(error).__name__, describe(error)))
    try:
        # numpy's numbers would pass for bytes objects; they are marked instead.
        if "numpy" not in sys.modules:
            return send_bytes(token + dumps(("plain", result), 2))
    except ValueError:
        pass
    try:
        answer = dumps(("marked", plain(result, 0)), 2)
    except (ValueError, RecursionError) as error:
        answer = dumps(("unsendable", describe(error)), 2)
    send_bytes(token + answer)


def plain(value, depth):
    """The value as exact built-in types; what equals no JSON value becomes a mark (a bytes object)."""
    if depth > MAX_DEPTH:
        raise ValueError("cyclic or nested more than %d deep" % MAX_DEPTH)
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list):
        return [plain(item, depth + 1) for item in list.__iter__(value)]
    if isinstance(value, tuple):
        return tuple([plain(item, depth + 1) for item in tuple.__iter__(value)])
    if isinstance(value, dict):
        return {plain_key(key): plain(item, depth + 1) for key, item in dict.items(value)}
    if isinstance(value, complex):
        return complex(value)
    if isinstance(value, (Decimal, Fraction)):
        return ratio(value)
    if kind.__module__ == "numpy" and hasattr(value, "dtype") and getattr(value, "shape", None) == ():
        item = value.item()
        return plain(item, depth + 1) if type(item) in (bool, int, float, complex, str) else other(item)
    return other(value)


def plain_key(key):
    """Keys keep apart what they kept apart; only strings can be keys of JSON."""
    return str.__str__(key) if isinstance(key, str) else other(key) + b"#%d" % id(key)


def ratio(value):
    if isinstance(value, Decimal) and (not value.is_finite() or abs(value.adjusted()) > MAX_EXPONENT):
        return float(value) if value.is_infinite() else other(value)
    numerator, denominator = value.as_integer_ratio()
    return b"r%x/%x" % (numerator, denominator)


def other(value):
    return b"o" + describe(value, repr).encode("utf-8", "replace")


def describe(value, form=str):
    try:
        return form(value)[:1000]
    except Exception:
        return type(value).__name__


def receive(channel, read=os.read):
    """The next frame's first eight bytes and its text, or None at the end."""
    head = read_exactly(channel, 4, read)
    frame = head and read_exactly(channel, struct.unpack("<I", head)[0], read)
    return frame and (frame[:8], frame[8:].decode())


def read_exactly(channel, count, read):
    parts = []
    while count:
        part = read(channel, min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def send(token, answer, dumps=marshal.dumps):
    send_bytes(token + dumps(answer, 2))


def send_bytes(answer, write=os.write, pack=struct.pack):
    view = memoryview(pack("<I", len(answer)) + answer)
    while view:
        view = view[write(VALUES, view):]


main()
