#!/usr/bin/env python3
"""Requests per second of a running service, over a few kept-alive connections, with latencies and CPU time.

    assay serve --listen 127.0.0.1:8080 --log-level error &
    verifier/benches/load.py --address 127.0.0.1:8080 [--seconds 5] [--repeats 3] [--json]

Loads, each bounded in time: trivial math, batches of math, a trivial Python program against two tests, and the same program over
/run_code with two and with eight requests in flight. Every request has code or an answer of its own, so nothing is found in a cache.
Last, four times as many requests as the service can work on, with a deadline: each is answered, or told 504 at its deadline.

CPU is the whole machine's busy time per answer without this client's own, so nothing else should run. Every answer is checked; a
wrong one ends the run. The client shares the cores with the service, so rates are a lower bound. Only the standard library.
"""

import argparse
import itertools
import json
import socket
import sys
import threading
import time

#: Makes each request new.
NUMBERS = itertools.count(1)
BATCH = 1000
DEADLINE_MS = 500


def math():
    number = next(NUMBERS)
    problem = {"task": {"type": "math", "ground_truth": f"\\frac{{{number}}}{{2}}"}}
    return {"problem": problem, "completion": f"so the answer is \\boxed{{{number * 5 / 10}}}"}


def math_batch():
    return {"items": [math() for _ in range(BATCH)]}


def code():
    program = f"print(sum(map(int, input().split())))  # {next(NUMBERS)}"
    tests = [{"input": "1 2\n", "output": "3\n"}, {"input": "10 20\n", "output": "30\n"}]
    return {"problem": {"task": {"type": "code", "test_cases": tests}}, "completion": f"```python\n{program}\n```"}


def run():
    return {"code": f"print(sum(map(int, input().split())))  # {next(NUMBERS)}", "language": "python", "stdin": "1 2\n"}


def busy_program():
    """A fifth of a second of work."""
    program = f"import time  # {next(NUMBERS)}\nwhile time.process_time() < 0.2: pass\nprint(3)"
    return {"problem": {"task": {"type": "code", "test_cases": [{"input": "", "output": "3\n"}]}},
            "completion": f"```python\n{program}\n```"}


def rewarded(status, reply):
    return status == 200 and reply["reward"] == 1.0


def all_rewarded(status, reply):
    return status == 200 and len(reply["results"]) == BATCH and all(row["reward"] == 1.0 for row in reply["results"])


def ran(status, reply):
    return status == 200 and reply["run_result"]["stdout"] == "3\n"


def rewarded_or_late(status, reply):
    return status == 504 or rewarded(status, reply)


#: Name, path, body, what is right, connections, answers in one reply, more headers.
LOADS = [
    ("math", "/v1/grade", math, rewarded, 8, 1, ""),
    ("math, batches", "/v1/grade/batch", math_batch, all_rewarded, 2, BATCH, ""),
    ("python, 2 tests", "/v1/grade", code, rewarded, 8, 1, ""),
    ("run_code, 2 in flight", "/run_code", run, ran, 2, 1, ""),
    ("run_code, 8 in flight", "/run_code", run, ran, 8, 1, ""),
    ("overload, deadline 0.5 s", "/v1/grade", busy_program, rewarded_or_late, 8, 1, f"X-Deadline-Ms: {DEADLINE_MS}\r\n"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="127.0.0.1:8080")
    parser.add_argument("--token", default=None)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3, help="rounds over all loads; each load's best round counts")
    parser.add_argument("--only", default="", help="loads with this in their name")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    loads = [load for load in LOADS if args.only in load[0]]
    rounds = [[measure(args, *load) for load in loads] for _ in range(args.repeats)]
    rows = [max(tries, key=lambda row: row["per_second"]) for tries in zip(*rounds)]
    if args.json:
        print(json.dumps(rows))
        return
    print(f"{'load':26} {'answers/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8} {'late':>6}")
    for row in rows:
        print(f"{row['load']:26} {row['per_second']:10.1f} {row['p50_ms']:8.2f} {row['p99_ms']:8.2f} {row['cpu_ms']:8.3f} "
              f"{row['late']:6}")


def machine_busy():
    """Seconds that all cores together have been busy."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / 100


def measure(args, name, path, body, right, connections, answers, headers):
    end = time.monotonic() + args.seconds
    times, late, wrong = [], [], []
    threads = [
        threading.Thread(target=ask, args=(args, path, headers, body, right, end, times, late, wrong))
        for _ in range(connections)
    ]
    began, busy, own = time.monotonic(), machine_busy(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    cpu = machine_busy() - busy - (time.process_time() - own)
    if wrong or not times:
        sys.exit(f"{name}: {wrong[0] if wrong else 'no answer at all'}")
    times.sort()
    return {
        "load": name, "connections": connections, "answers": len(times) * answers, "late": len(late),
        "per_second": len(times) * answers / took, "cpu_ms": 1e3 * cpu / (len(times) * answers),
        "p50_ms": 1e3 * times[len(times) // 2], "p99_ms": 1e3 * times[len(times) * 99 // 100],
    }


def ask(args, path, headers, body, right, end, times, late, wrong):
    host, port = args.address.rsplit(":", 1)
    token = f"Authorization: Bearer {args.token}\r\n" if args.token else ""
    head = f"POST {path} HTTP/1.1\r\nHost: {args.address}\r\nContent-Type: application/json\r\n{headers}{token}"
    try:
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while time.monotonic() < end and not wrong:
                data = json.dumps(body()).encode()
                message = f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
                began = time.monotonic()
                connection.sendall(message)
                status, reply = read_reply(connection)
                times.append(time.monotonic() - began)
                if not right(status, json.loads(reply)):
                    wrong.append(f"{status} {reply[:300]!r}")
                if status == 504:
                    late.append(status)
    except (OSError, ValueError, KeyError, TypeError) as error:
        wrong.append(repr(error))


def read_reply(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(connection)
    head, body = data.split(b"\r\n\r\n", 1)
    lines = head.decode().lower().split("\r\n")
    length = next(int(line.split(":", 1)[1]) for line in lines if line.startswith("content-length:"))
    pieces, have = [body], len(body)
    while have < length:
        pieces.append(receive(connection))
        have += len(pieces[-1])
    return int(lines[0].split(" ")[1]), b"".join(pieces)


def receive(connection):
    piece = connection.recv(1 << 20)
    if not piece:
        raise OSError("the service closed the connection")
    return piece


if __name__ == "__main__":
    main()
