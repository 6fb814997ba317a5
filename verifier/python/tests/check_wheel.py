"""What the wheel brings, as its README uses it: `check_wheel.py ASSAY README`, by a Python that has the wheel installed.

Starts the service on a free port, runs the README's example of the client against it, grades a program in the sandbox (where
the machine has none: says so), and ends the service by SIGTERM, which it must take as it says: exit code 0.
"""

import doctest
import importlib
import pathlib
import signal
import subprocess
import sys

import assay
from assay import Client

ADDRESS = "http://127.0.0.1:8080"


def start(program, *options):
    """A service and its address, or `None` where it does not start."""
    command = [program, "serve", "--listen", "127.0.0.1:0", *options]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = child.stdout.readline().strip()
    if address.startswith("http://"):
        return child, address
    return None, child.communicate()[1]


def stop(child):
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=120)
    assert child.returncode == 0, (child.returncode, said)


def example(readme, address):
    """The README's first lines of Python, with this service's address; a comment behind a line says what it gives."""
    lines = [line[4:] for line in readme.splitlines() if line.startswith("    ")]
    first = lines.index("from assay import Client")
    names, expected = {}, 0
    for line in lines[first : first + 4]:
        code, _, comment = line.partition("  # ")
        code, comment = code.strip().replace(ADDRESS, address), comment.strip()
        if comment:
            value = eval(code, names)
            assert repr(value) == comment, f"{code} is {value!r}; the README says {comment}"
            expected += 1
        else:
            exec(code, names)
    assert expected == 1, "the example grades nothing"


def main(program, readme):
    assert "site-packages" in assay.__file__, f"this is not the wheel's client: {assay.__file__}"
    assert (pathlib.Path(assay.__file__).parent / "py.typed").exists()
    for name in ["assay", "assay.client", "assay.labels", "assay.openrlhf", "assay.slime", "assay.trl", "assay.verl"]:
        assert doctest.testmod(importlib.import_module(name)).failed == 0, name
    child, address = start(program)
    if child is None:
        print(f"no sandbox here, so no code is graded: {address.strip()}")
        child, address = start(program, "--math-only")
        assert child is not None, address
        graded = None
    else:
        tests = {"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]}
        with Client(address) as client:
            right, wrong = (
                client.grade(assay.problem_of(tests), f"```python\nprint({code})\n```")
                for code in ("sum(map(int, input().split()))", "3")
            )
        graded = (right.reward, wrong.reward)
    example(pathlib.Path(readme).read_text(), address)
    with Client(address) as client:
        assert client.version()["version"] == assay.__version__, client.version()
    stop(child)
    assert graded in (None, (1.0, 0.0)), graded
    print(f"the wheel's service and client work: {assay.__version__}, code {graded}")


main(sys.argv[1], sys.argv[2])
