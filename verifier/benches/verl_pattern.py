#!/usr/bin/env python3
"""veRL's pattern: many requests of one test each at the same time, some of them sleeping past their limit.

    assay serve --listen 127.0.0.1:8080 --log-level error &
    verifier/benches/verl_pattern.py --address 127.0.0.1:8080 [--requests 200] [--sleepers 40] [--run-timeout 6]

Each request has its own code and its own connection, as `requests.post` makes one, and 30 seconds from sending. Says how
many answers were right, how long they took, and ends with 1 if any was wrong or missing. Only the standard library.
"""

import argparse
import http.client
import json
import sys
import threading
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="127.0.0.1:8080")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--sleepers", type=int, default=40)
    parser.add_argument("--run-timeout", type=float, default=6.0)
    parser.add_argument("--client-timeout", type=float, default=30.0)
    args = parser.parse_args()
    results = [None] * args.requests
    start = threading.Barrier(args.requests)
    threads = [threading.Thread(target=ask, args=(args, i, start, results)) for i in range(args.requests)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    right = [took for said, took in results if said == "right"]
    wrong = {}
    for said, _ in results:
        if said != "right":
            wrong[said] = wrong.get(said, 0) + 1
    quick = sorted(took for i, (said, took) in enumerate(results) if said == "right" and not sleeps(args, i))
    print(f"{len(right)} of {args.requests} right, the last after {max(right, default=0):.1f} s; "
          f"of those that do not sleep p50 {at(quick, 0.5):.2f} s, p99 {at(quick, 0.99):.2f} s")
    for said, count in wrong.items():
        print(f"{count} x {said}")
    sys.exit(bool(wrong))


def sleeps(args, i):
    return i * args.sleepers // args.requests != (i + 1) * args.sleepers // args.requests


def ask(args, i, start, results):
    code = f"import time; time.sleep(60 + {i})" if sleeps(args, i) else f"print({i})"
    body = json.dumps({
        "code": code, "language": "python", "stdin": "", "compile_timeout": args.run_timeout,
        "run_timeout": args.run_timeout, "memory_limit_MB": 1024, "files": {}, "fetch_files": [],
    })
    start.wait()
    began = time.monotonic()
    try:
        connection = http.client.HTTPConnection(args.address, timeout=args.client_timeout)
        connection.request("POST", "/run_code", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        reply = json.loads(response.read())
        if response.status != 200:
            said = f"HTTP {response.status}: {reply}"
        elif sleeps(args, i):
            said = "right" if reply["run_result"]["status"] == "TimeLimitExceeded" else str(reply)
        else:
            said = "right" if reply["run_result"]["stdout"] == f"{i}\n" else str(reply)
    except OSError as error:
        said = repr(error)
    results[i] = (said, time.monotonic() - began)


def at(values, share):
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


main()
