"""Runs a stdin program as lcb_runner does, its accidents included; `code.rs` puts source and prelude in.

The top level becomes a function's body, stdin and stdout become objects that are no files, and what is printed counts
as soon as that function returns. It decides nothing: what it prints is compared outside, like any output.
"""

import ast
import io
import os
import sys
import traceback
import types

SOURCE = @SOURCE@
PRELUDE = @PRELUDE@


class Bytes:
    def __init__(self, text):
        self.bytes = text.encode()

    def read(self, *_):
        return self.bytes

    def readline(self, *_):
        return self.bytes.split(b"\n")[0] + b"\n"


class Stdin:
    """`read` always has everything, `readline` goes on from where it was, and there is no iteration."""

    def __init__(self, text):
        self.text, self.lines, self.buffer = text, io.StringIO(text), Bytes(text)

    def read(self, *_):
        return self.text

    def readline(self, *_):
        return self.lines.readline()

    def readlines(self, *_):
        return self.text.split("\n")


def as_function(source):
    body = ast.parse(source).body
    last = body[-1] if body else None
    if isinstance(last, ast.If) and ast.unparse(last.test) == "__name__ == '__main__'":
        body[-1:] = last.body
    imports = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
    rest = [node for node in body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    tree = ast.parse(PRELUDE + "\ndef wrapped_function(): pass")
    tree.body[-1].body = rest or tree.body[-1].body
    tree.body[-1:-1] = imports
    return ast.fix_missing_locations(tree)


def main():
    text = sys.stdin.read()
    for name in ("ipdb", "joblib", "resource", "psutil", "tkinter"):
        sys.modules[name] = None
    printed = io.StringIO()
    try:
        module = types.ModuleType("tmp_sol")
        exec(compile(as_function(SOURCE), "<string>", "exec"), module.__dict__)
        sys.stdin, sys.stdout = Stdin(text), printed
        module.wrapped_function()
    except SystemExit:
        pass
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        os._exit(1)
    output = printed.getvalue().encode()
    while output:
        output = output[os.write(1, output) :]
    os._exit(0)


main()
