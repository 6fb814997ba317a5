#!/usr/bin/env python3
"""An hour of mixed load against a service of this script's own, whose slots are killed at random: every answer is checked, and
memory, descriptors and processes must be at the end what they were once all was warm.

    python3 verifier/benches/soak.py --assay target/debug/assay [--minutes 60] [--clients 6] [--kill-every 5] [--out FILE.json]

Each client picks one of the kinds of request below, waits a little, and goes on, so the machine is not full. A run whose slot
was killed is repeated by the service; what it could not repeat must say `infra_error` (or `SandboxError`) and have no reward.
A wrong verdict, a reward for what failed, an unexpected status or a service that ends: exit code 1. Only the standard library.
"""

import argparse
import gzip
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import processes

MEBIBYTE = 1 << 20


class Wrong(Exception):
    """The service said what it should not."""


class Late(Exception):
    """The service had no judge free before the deadline, and said so: the machine has no time left."""


def code_problem(tests):
    return {"question_id": "q", "task": {"type": "code", "test_cases": tests}}


SUMS = [{"input": f"{i} {i + 1}\n", "output": f"{2 * i + 1}\n"} for i in range(5)]
#: What is run, and the verdict it must have; {n} makes each program new.
PROGRAMS = [
    ("# {n}\nprint(sum(map(int, input().split())))", "accepted"),
    ("# {n}\nprint(int(input().split()[0]) * 2)", "wrong_answer"),
    ("# {n}\nraise SystemExit(3)", "runtime_error"),
    ("# {n}\nprint(", "compile_error"),
    ("# {n}\nwhile True: pass", "time_limit_exceeded"),
    ("# {n}\nimport time; time.sleep(100)", "time_limit_exceeded"),
    ("# {n}\nx = []\nwhile True: x.append(' ' * 1000000)", "memory_limit_exceeded"),
    ("# {n}\nimport os\nwhile True: os.write(1, b'x' * 65536)", "output_limit_exceeded"),
    ("no program", "no_answer"),
]
CPP = "```cpp\n#include <iostream>\nint main() { long a, b; std::cin >> a >> b; std::cout << a + b + 0 * %d << '\\n'; }\n```"
LIMITS = {"cpu_time": 0.5, "wall_time": 0.5, "memory": 128 * MEBIBYTE, "output": MEBIBYTE}


class Client(threading.Thread):
    """Asks until the end; counts what it asked and what it was told."""

    def __init__(self, address, end, seed, pause):
        super().__init__(daemon=True)
        self.address, self.end, self.pause = address, end, pause
        self.random = random.Random(seed)
        self.connection = None
        self.asked, self.infra, self.late, self.wrong, self.broken = {}, 0, 0, [], 0

    def run(self):
        kinds = [self.program] * 6 + [self.math] * 4 + [
            self.batch, self.lines, self.run_code, self.run_code, self.compiled, self.stored, self.packed, self.bad, self.leave,
        ]
        while time.monotonic() < self.end and len(self.wrong) < 5:
            kind = self.random.choice(kinds)
            self.asked[kind.__name__] = self.asked.get(kind.__name__, 0) + 1
            try:
                kind()
            except Wrong as wrong:
                self.wrong.append(f"{kind.__name__}: {wrong}")
            except Late:
                self.late += 1
            except (OSError, http.client.HTTPException) as error:
                # The service closes what has been idle for long; anything more often is a fault.
                self.connection, self.broken = None, self.broken + 1
                if self.broken > 100:
                    self.wrong.append(f"{kind.__name__}: {error!r}")
            except Exception as error:  # a reply of another form than it should have
                self.wrong.append(f"{kind.__name__}: {error!r}")
            time.sleep(self.random.uniform(0, 2 * self.pause))

    def ask(self, method, path, body=None, headers=None):
        self.connection = self.connection or http.client.HTTPConnection(self.address, timeout=120)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self.connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        response = self.connection.getresponse()
        reply = response.read()
        if response.status == 504:
            if json.loads(reply)["type"].endswith("deadline-passed") and b"reward" not in reply:
                raise Late
            raise Wrong(f"status 504: {reply[:300]!r}")
        return response.status, reply

    def item(self):
        source, verdict = self.random.choice(PROGRAMS)
        text = source.format(n=self.random.randrange(1 << 60)) if "{n}" in source else source
        completion = text if verdict == "no_answer" else f"```python\n{text}\n```"
        return {"problem": code_problem(SUMS), "completion": completion, "limits": LIMITS}, verdict

    def check(self, graded, verdict):
        if graded["outcome"] == "infra_error":
            if graded["reward"] is not None or graded["verdict"] is not None:
                raise Wrong(f"a failure of the service's with a reward: {graded}")
            self.infra += 1
        elif graded["verdict"] != verdict or graded["reward"] != float(verdict == "accepted"):
            raise Wrong(f"{verdict} expected, {graded}")

    def graded(self, item, verdict, headers=None):
        body = gzip.compress(json.dumps(item).encode()) if headers else item
        status, reply = self.ask("POST", "/v1/grade", body, headers)
        if status != 200:
            raise Wrong(f"status {status}: {reply[:300]!r}")
        self.check(json.loads(reply), verdict)

    def program(self):
        self.graded(*self.item())

    def packed(self):
        self.graded(*self.item(), {"Content-Encoding": "gzip"})

    def compiled(self):
        # Some sources come again: the compile cache has something to find, and something to forget.
        number = self.random.randrange(30)
        self.graded({"problem": code_problem(SUMS), "completion": CPP % number}, "accepted")

    def math(self):
        a, b = self.random.randrange(1, 100), self.random.randrange(1, 100)
        right = self.random.random() < 0.5
        said = f"\\boxed{{{a * 7}/{b * 7}}}" if right else f"\\boxed{{{a * 7 + 1}/{b * 7}}}"
        problem = {"task": {"type": "math", "ground_truth": f"\\frac{{{a}}}{{{b}}}"}}
        self.graded({"problem": problem, "completion": said}, "accepted" if right else "wrong_answer")

    def batch(self):
        items = [self.item() for _ in range(8)]
        status, reply = self.ask("POST", "/v1/grade/batch", {"items": [item for item, _ in items]})
        if status != 200:
            raise Wrong(f"status {status}: {reply[:300]!r}")
        for graded, (_, verdict) in zip(json.loads(reply)["results"], items, strict=True):
            self.check(graded, verdict)

    def lines(self):
        items = [self.item() for _ in range(8)]
        status, reply = self.ask("POST", "/v1/grade/batch", {"items": [item for item, _ in items]},
                                 {"Accept": "application/x-ndjson"})
        rows = [json.loads(line) for line in reply.splitlines()]
        if status != 200 or sorted(row["index"] for row in rows) != list(range(8)):
            raise Wrong(f"status {status}: {reply[:300]!r}")
        for row in rows:
            self.check(row, items[row["index"]][1])

    def run_code(self):
        number = self.random.randrange(1 << 60)
        sleeps = self.random.random() < 0.1
        code = f"import time; time.sleep({100 + number % 1000})" if sleeps else f"print({number})"
        status, reply = self.ask("POST", "/run_code", {"code": code, "language": "python", "run_timeout": 1})
        reply = json.loads(reply)
        if status != 200:
            raise Wrong(f"status {status}: {reply}")
        if reply["status"] == "SandboxError":
            self.infra += 1
            return
        right = reply["run_result"]["status"] == "TimeLimitExceeded" if sleeps else (
            reply["run_result"]["stdout"] == f"{number}\n")
        if not right:
            raise Wrong(f"status {status}: {reply}")

    def stored(self):
        number = self.random.randrange(1 << 60)
        tests = [{"input": f"{number} 1\n", "output": f"{number + 1}\n"}]
        status, reply = self.ask("POST", "/v1/problems", code_problem(tests))
        if status not in (200, 201):
            raise Wrong(f"status {status}: {reply[:300]!r}")
        known = json.loads(reply).get("problem_id") or json.loads(reply)["id"]
        item = {"problem_id": known, "completion": f"```python\n{PROGRAMS[0][0].format(n=0)}\n```", "limits": LIMITS}
        self.graded(item, "accepted")
        status, reply = self.ask("DELETE", f"/v1/problems/{known}")
        if status not in (200, 204):
            raise Wrong(f"status {status}: {reply[:300]!r}")

    def bad(self):
        body = self.random.choice([b"{", b"\xff\xfe", b"[]", b'{"completion": 1}', b'{"problem": {}, "completion": ""}'])
        status, reply = self.ask("POST", "/v1/grade", body)
        if not 400 <= status < 500:
            raise Wrong(f"{body!r} has status {status}: {reply[:300]!r}")

    def leave(self):
        """Hangs up before the answer."""
        item, _ = self.item()
        connection = http.client.HTTPConnection(self.address, timeout=10)
        connection.request("POST", "/v1/grade", json.dumps(item), {"Content-Type": "application/json"})
        time.sleep(self.random.uniform(0, 0.3))
        connection.close()


def tree(root):
    """{pid: parent} of all descendants, the root too."""
    parents, found = processes.parents(), {root: 0}
    grown = True
    while grown:
        new = {pid: parent for pid, parent in parents.items() if parent in found and pid not in found}
        found |= new
        grown = bool(new)
    return found


def is_server(pid):
    try:
        return b"\0serve\0" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def roles(root):
    """The server's process and the spawner's: the guardian's two children."""
    children = [pid for pid, parent in processes.parents().items() if parent == root]
    server = next((pid for pid in children if is_server(pid)), None)
    return server, next((pid for pid in children if pid != server), None)


def ours(pid):
    """Whether a process below a slot is one of the service's own: a program that is killed has ended by a signal, and that is
    its verdict. An interpreter that waits for programs, and what executes binaries, lead no group of their own; programs do."""
    try:
        return os.getpgid(pid) != pid
    except ProcessLookupError:
        return False


def killer(root, every, end, kills):
    """Kills a slot, sometimes an interpreter in it, now and then the process that makes slots."""
    chance = random.Random(7)
    while time.monotonic() + 30 < end:
        time.sleep(chance.uniform(0.5 * every, 1.5 * every))
        _, spawner = roles(root)
        if spawner is None:
            continue
        family = tree(spawner)
        slots = [pid for pid, parent in family.items() if parent == spawner]
        inside = [pid for pid, parent in family.items() if parent in slots and ours(pid)]
        name, victims = chance.choice([("slot", slots)] * 6 + [("interpreter", inside)] * 3 + [("spawner", [spawner])])
        if victims:
            try:
                os.kill(chance.choice(victims), signal.SIGKILL)
                kills[name] = kills.get(name, 0) + 1
            except ProcessLookupError:
                pass


def measured(root):
    """What the service holds now; memory is what no other process shares (private pages)."""
    server, spawner = roles(root)
    found = {"processes": len(tree(root)), "server_mib": None, "descriptors": None}
    for name, pid in [("guardian", root), ("server", server), ("spawner", spawner)]:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            private = sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
            found[f"{name}_mib"] = round(private / 1024, 1)
        except OSError:
            pass
    try:
        found["descriptors"] = len(os.listdir(f"/proc/{server}/fd"))
        found["threads"] = len(os.listdir(f"/proc/{server}/task"))
    except OSError:
        pass
    return found


def quiet(root, address):
    """Waits until nothing is asked any more, and measures then."""
    for _ in range(120):
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        if "assay_in_flight 0\n" in text and "assay_queue_depth 0\n" in text:
            break
        time.sleep(0.5)
    time.sleep(3)
    return measured(root)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assay", default="target/debug/assay")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two requests of a client, on average")
    parser.add_argument("--kill-every", type=float, default=5, help="seconds between two kills, on average")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    service = subprocess.Popen([args.assay, "serve", "--listen", "127.0.0.1:0", "--log-level", "error", "--cache", "500",
                                "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    address = service.stdout.readline().strip().removeprefix("http://")
    if not address:
        sys.exit("the service did not start")
    rounds, clients, kills = [], [], {}
    began = time.monotonic()
    # Two rounds: the first tenth warms all that stays warm, and the rest must add nothing to it.
    for share, seed in [(0.1, 1), (0.9, 1000)]:
        end = time.monotonic() + args.minutes * 60 * share
        now = [Client(address, end, seed + i, args.pause) for i in range(args.clients)]
        clients += now
        kill = threading.Thread(target=killer, args=(service.pid, args.kill_every, end, kills), daemon=True)
        for thread in [*now, kill]:
            thread.start()
        while any(thread.is_alive() for thread in now):
            time.sleep(min(30, args.minutes * 6))
            held = measured(service.pid)
            asked = sum(sum(client.asked.values()) for client in clients)
            print(f"{time.monotonic() - began:6.0f} s {asked:7} requests, {sum(kills.values()):4} kills, {held}", flush=True)
            if service.poll() is not None:
                sys.exit(f"the service ended with {service.returncode}")
        kill.join()
        rounds.append(quiet(service.pid, address))
        print(f"at rest: {rounds[-1]}", flush=True)
    service.terminate()
    code = service.wait(60)
    asked = {}
    for client in clients:
        for kind, count in client.asked.items():
            asked[kind] = asked.get(kind, 0) + count
    wrong = [line for client in clients for line in client.wrong]
    early, late = rounds
    grown = [name for name in ("server_mib", "guardian_mib", "spawner_mib") if late[name] > early[name] * 1.1 + 8]
    grown += [name for name, room in (("descriptors", 8), ("processes", 8), ("threads", 2)) if late[name] > early[name] + room]
    result = {
        "minutes": round((time.monotonic() - began) / 60, 1), "asked": asked, "kills": kills,
        "infra_errors": sum(client.infra for client in clients), "late": sum(client.late for client in clients),
        "broken_connections": sum(c.broken for c in clients),
        "after_a_tenth": early, "at_the_end": late, "grown": grown, "wrong": wrong, "exit_code": code,
    }
    print(json.dumps(result, indent=2))
    if args.out:
        args.out.write_text(json.dumps(result) + "\n")
    sys.exit(bool(wrong or grown or code))


if __name__ == "__main__":
    main()
