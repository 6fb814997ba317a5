"""Puts the client and its reward functions to a running service: `check_client.py URL`. `verifier/tests/python.rs` runs it
against one without a sandbox, where code has no verdict."""

import asyncio
import doctest
import http.server
import importlib
import json
import sys
import threading
import time
import types

import assay
from assay import AsyncClient, Client, InfraError, RequestError
from assay import openrlhf, slime, trl, verl

URL = sys.argv[1]
RIGHT, WRONG = r"so \boxed{0.5}", r"so \boxed{0.4}"
CODE = {"inputs": ["1"], "outputs": ["1"]}


def math(answer="1/2"):
    return {"task": {"type": "math", "ground_truth": answer}}


def check_docs():
    for name in ["assay", "assay.client", "assay.labels", "assay.openrlhf", "assay.slime", "assay.trl", "assay.verl"]:
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0, name


def check_client():
    with Client(URL) as client:
        assert client.grade(math(), RIGHT).reward == 1.0
        assert client.grade(math(), WRONG).verdict == "wrong_answer"
        many = client.grade_batch([{"problem": math(str(i)), "completion": rf"\boxed{{{i // 2 * 2}}}"} for i in range(500)])
        assert [graded.reward for graded in many] == [1.0, 0.0] * 250
        code = client.grade(assay.problem_of(CODE), "print(1)", mode="code")
        assert code.infra_error and code.reward is None and "math-only" in code.reason
        problem_id = client.store(math("7"))
        assert client.store(math("7")) == problem_id
        assert client.grade(None, r"\boxed{7}", problem_id=problem_id).reward == 1.0
        assert client.version()["name"] == "assay"
        try:
            client.grade({"task": {"type": "maths"}}, "")
            raise SystemExit("a wrong request was not refused")
        except RequestError as error:
            assert error.status == 422 and "maths" in error.detail
    assert Client(URL, on_infra_error=0.25).grade(assay.problem_of(CODE), "x").reward == 0.25
    for bad in (lambda: Client("ftp://x"), lambda: Client(on_infra_error="zero"), lambda: Client(URL).grade()):
        try:
            bad()
            raise SystemExit("a wrong argument was taken")
        except ValueError:
            pass
    try:
        Client(URL, on_infra_error="raise").grade(assay.problem_of(CODE), "x")
        raise SystemExit("a failure of the service was not raised")
    except InfraError:
        pass


def check_nobody_there():
    """A service that is gone is nobody's zero."""
    graded = Client("http://127.0.0.1:9", timeout=0.5, retries=2).grade(math(), RIGHT)
    assert graded.infra_error and graded.reward is None


def check_retries():
    """Refused for load, broken off, then answered: one reward. The time in Retry-After is kept."""
    asked = []

    class Moody(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked.append((time.monotonic(), self.headers["X-Deadline-Ms"]))
            self.rfile.read(int(self.headers["Content-Length"]))
            if len(asked) == 2:
                self.close_connection = True
                self.connection.close()
                return
            status = 503 if len(asked) == 1 else 200
            body = json.dumps({"detail": "full"} if status == 503 else {"outcome": "graded", "reward": 1.0}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Retry-After", "0.3")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    graded = Client(f"http://127.0.0.1:{server.server_port}").grade(math(), RIGHT)
    server.shutdown()
    assert graded.reward == 1.0 and len(asked) == 3, asked
    assert asked[1][0] - asked[0][0] >= 0.3
    deadlines = [int(deadline) for _, deadline in asked]
    assert deadlines == sorted(deadlines, reverse=True)


async def check_async():
    before = requests_of("/v1/grade/batch")
    async with AsyncClient(URL) as client:
        pairs = [(str(i), i % 3 == 0) for i in range(300)]
        graded = await asyncio.gather(
            *(client.grade(math(gold), rf"\boxed{{{gold if right else gold + '1'}}}") for gold, right in pairs)
        )
        assert [result.reward for result in graded] == [float(right) for _, right in pairs]
        mixed = await asyncio.gather(
            client.grade(math(), RIGHT), client.grade({"task": {"type": "maths"}}, ""), return_exceptions=True
        )
        assert mixed[0].reward == 1.0 and isinstance(mixed[1], RequestError)
        assert (await client.grade_batch([{"problem": math(), "completion": RIGHT}]))[0].reward == 1.0
    assert requests_of("/v1/grade/batch") - before <= 20, "what comes at once goes out at once"


def requests_of(route):
    import urllib.request

    text = urllib.request.urlopen(URL + "/metrics").read().decode()
    lines = [line for line in text.splitlines() if line.startswith("assay_http_requests_total") and f'"{route}"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def check_trainers():
    import os

    os.environ["ASSAY_URL"] = URL
    right = verl.compute_score("math", RIGHT, "1/2")
    infra = verl.compute_score("code", "```python\nprint(1)\n```", CODE)
    assert right["score"] == 1.0 and infra["infra_error"] == 1.0 and right.keys() == infra.keys()

    async def group():
        return await asyncio.gather(*(verl.compute_score_async("math", text, "1/2") for text in (RIGHT, WRONG)))

    assert [score["score"] for score in asyncio.run(group())] == [1.0, 0.0]
    reward = trl.reward_func("answer", url=URL)
    chat = [{"role": "assistant", "content": RIGHT}]
    assert reward(completions=[RIGHT, chat, WRONG, "x"], answer=["1/2", "1/2", "1/2", CODE]) == [1.0, 1.0, 0.0, None]
    answer = openrlhf.reward_func(["Half? " + RIGHT], ["Half? "], ["1/2"])
    assert [float(value) for value in answer["rewards"]] == [1.0] and "no_answer" in answer["extra_logs"]
    sample = types.SimpleNamespace(response=RIGHT, label="1/2")
    assert asyncio.run(slime.reward(types.SimpleNamespace(rm_url=URL), sample)) == 1.0


check_docs()
check_client()
check_nobody_there()
check_retries()
asyncio.run(check_async())
check_trainers()
print("ok")
