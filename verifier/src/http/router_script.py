# Runs a script as a notebook's cell: its last expression's value is shown. The value goes out behind a mark, on a line of
# its own; the script could write such a line as well, and would deceive nobody but itself.
import ast, os, subprocess, sys


def interpreter_by_name(start=subprocess.Popen.__init__):
    # A script starts the model's program with "python3"; in the box the interpreter has no such name.
    def begin(self, args, *more, **named):
        if isinstance(args, (list, tuple)) and args and args[0] in ("python", "python3"):
            args = [sys.executable, *args[1:]]
        start(self, args, *more, **named)

    subprocess.Popen.__init__ = begin


interpreter_by_name()
tree = ast.parse(@SOURCE@, "<script>")
last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
names = {"__name__": "__main__"}
exec(compile(tree, "<script>", "exec"), names)
if last is not None:
    value = eval(compile(ast.Expression(last.value), "<script>", "eval"), names)
    if value is not None:
        sys.stdout.flush()
        os.write(1, ("\n@MARK@" + (value if isinstance(value, str) else repr(value))).encode())
