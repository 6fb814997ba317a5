"""Who descends from whom, for the scripts that measure all processes of a program."""

import pathlib


def parents():
    """{pid: parent's pid} of every process that is there."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                pass
    return found
