#!/usr/bin/env python3
"""Requests per second of a running service, over a few kept-alive connections, with latencies.

    assay serve --listen 127.0.0.1:8080 --log-level error &
    verifier/benches/load.py --address 127.0.0.1:8080 [--connections 8] [--seconds 5] [--json]

Three loads, each bounded in time: trivial math, a trivial Python program against two tests, and the same
program over /run_code. Every answer is checked; a wrong one ends the run. The client shares the machine
with the service, so the figures are a lower bound. Only the standard library is needed.
"""

import argparse
import json
import socket
import sys
import threading
import time

PROGRAM = "print(sum(map(int, input().split())))"
MATH = {
    "problem": {"task": {"type": "math", "ground_truth": "\\frac{1}{2}"}},
    "completion": "so the answer is \\boxed{0.5}",
}
CODE = {
    "problem": {"task": {"type": "code", "test_cases": [
        {"input": "1 2\n", "output": "3\n"}, {"input": "10 20\n", "output": "30\n"},
    ]}},
    "completion": f"```python\n{PROGRAM}\n```",
}
RUN = {"code": PROGRAM, "language": "python", "stdin": "1 2\n"}
LOADS = [
    ("math, /v1/grade", "/v1/grade", MATH, lambda reply: reply["reward"] == 1.0),
    ("python, /v1/grade", "/v1/grade", CODE, lambda reply: reply["reward"] == 1.0),
    ("python, /run_code", "/run_code", RUN, lambda reply: reply["run_result"]["stdout"] == "3\n"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="127.0.0.1:8080")
    parser.add_argument("--token", default=None)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [measure(args, *load) for load in LOADS]
    if args.json:
        print(json.dumps(rows))
        return
    print(f"{'load':20} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'answers':>8}")
    for row in rows:
        print(f"{row['load']:20} {row['per_second']:10.1f} {row['p50_ms']:8.2f} {row['p99_ms']:8.2f} {row['answers']:8}")


def measure(args, name, path, body, right):
    end = time.monotonic() + args.seconds
    times, wrong = [], []
    threads = [
        threading.Thread(target=ask, args=(args, path, body, right, end, times, wrong))
        for _ in range(args.connections)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    if wrong or not times:
        sys.exit(f"{name}: {wrong[0] if wrong else 'no answer at all'}")
    times.sort()
    return {
        "load": name, "connections": args.connections, "answers": len(times),
        "per_second": len(times) / took,
        "p50_ms": 1e3 * times[len(times) // 2], "p99_ms": 1e3 * times[len(times) * 99 // 100],
    }


def ask(args, path, body, right, end, times, wrong):
    host, port = args.address.rsplit(":", 1)
    data = json.dumps(body).encode()
    token = f"Authorization: Bearer {args.token}\r\n" if args.token else ""
    head = f"POST {path} HTTP/1.1\r\nHost: {args.address}\r\nContent-Type: application/json\r\n{token}"
    message = f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
    try:
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while time.monotonic() < end and not wrong:
                began = time.monotonic()
                connection.sendall(message)
                status, reply = read_reply(connection)
                times.append(time.monotonic() - began)
                if status != 200 or not right(json.loads(reply)):
                    wrong.append(f"{status} {reply[:300]!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        wrong.append(repr(error))


def read_reply(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(connection)
    head, body = data.split(b"\r\n\r\n", 1)
    lines = head.decode().lower().split("\r\n")
    length = next(int(line.split(":", 1)[1]) for line in lines if line.startswith("content-length:"))
    while len(body) < length:
        body += receive(connection)
    return int(lines[0].split(" ")[1]), body


def receive(connection):
    piece = connection.recv(65536)
    if not piece:
        raise OSError("the service closed the connection")
    return piece


if __name__ == "__main__":
    main()
