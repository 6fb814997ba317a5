"""Looks at report.html and compare.html, or at a service's pages, in a real browser, at the width of a desk and of a phone.

    python3 verifier/benches/pages.py --assay target/debug/assay --out target/pages [--problems FILE --completions FILE]
    python3 verifier/benches/pages.py --assay target/debug/assay --out target/pages --service

Makes two runs of a small set of its own (or of the given files), compares them, and opens each page in headless Chromium; or
starts a service, asks it some hundred things, and opens /live and /docs, light and dark.
Leaves screenshots and the pages in --out. Fails if a page writes to the console, asks for anything but itself, or is wider
than the screen.
"""

import argparse
import http.client
import http.server
import json
import pathlib
import random
import shutil
import subprocess
import sys
import threading
import time

WIDTHS = {"desk": 1280, "phone": 390}
# The page in a frame of the wanted width, since a browser's window has a least one.
FRAME = """<!doctype html><html><head><meta charset="utf-8"><style>body{margin:0}iframe{border:0;display:block}</style></head>
<body><iframe id="page" src="/%s" width="%d" height="%d"></iframe><script>
const frame = document.getElementById("page");
frame.onload = () => setTimeout(() => {
  for (const d of frame.contentDocument.querySelectorAll("details")) { if (%s) { d.open = true; } }
  const root = frame.contentDocument.documentElement;
  setTimeout(() => {
    document.body.dataset.measured = JSON.stringify([root.scrollWidth, root.clientWidth, root.scrollHeight]);
  }, 200);
}, %d);</script></body></html>"""
RIGHT = "n = int(input())\nprint(2 * n)"
WRONG = [
    "n = int(input())\nprint(2 * n + (n > 3))",
    "import sys\nn = int(sys.stdin.readline())\nraise ValueError(f'no <b>idea</b> about {n}')",
    "print('</pre><script>document.title = 1</script>')",
    "while True: pass",
    "x = [0] * 10 ** 10",
    "def broken(:\n    pass",
    "import os\nos._exit(3)",
]


def problems(folder):
    rows, completions = [], {"first": [], "second": []}
    dice = random.Random(4)
    names = ["three-sum-of-<b>bold</b>-names", "longest-palindromic-subsequence-after-at-most-k-operations"]
    for index in range(48):
        difficulty = ["easy", "medium", "hard"][index % 3]
        name = names[index] if index < len(names) else f"problem_{index}"
        tests = [{"input": f"{n}\n", "output": f"{2 * n}\n", "testtype": "stdin"} for n in (1, 2, 5, 40)]
        rows.append({
            "question_title": name, "question_content": "", "platform": ["atcoder", "leetcode", "codeforces"][index // 3 % 3],
            "question_id": name, "contest_id": "", "contest_date": f"2024-{1 + index % 12:02}-14T00:00:00", "starter_code": "",
            "difficulty": difficulty, "public_test_cases": json.dumps(tests), "private_test_cases": "[]", "metadata": "{}",
        })
        skill = {"easy": 0.9, "medium": 0.55, "hard": 0.15}[difficulty]
        for run, more in (("first", 0.0), ("second", 0.12)):
            codes = [RIGHT if dice.random() < skill + more else dice.choice(WRONG) for _ in range(4)]
            completions[run].append({"question_id": name, "code_list": codes})
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for run, lists in completions.items():
        (folder / f"{run}.json").write_text(json.dumps(lists))
    return folder / "problems.jsonl", folder / "first.json", folder / "second.json"


def make(assay, folder, files):
    problem_file, *completions = files
    for completion, out, more in zip(completions, ("run", "run2"), ([], ["--profile", "lcb"])):
        shutil.rmtree(folder / out, ignore_errors=True)
        subprocess.run(
            [assay, "grade", problem_file, completion, "--out", folder / out, "--cpu-time", "1s", *more],
            check=True, stdout=subprocess.DEVNULL,
        )
        shutil.copy(folder / out / "report.html", folder / f"report-{out}.html")
    subprocess.run(
        [assay, "compare", folder / "run", folder / "run2", "--html", folder / "compare.html"],
        check=True, stdout=subprocess.DEVNULL,
    )
    return ["report-run.html", "compare.html"]


def serve(folder, upstream=None):
    """Serves the folder and, beside it, what a service has. `asked` is what was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def do_GET(self):
            if upstream and self.path.split("?")[0] in SERVICE_PATHS:
                return self.pass_on()
            return super().do_GET()

        def pass_on(self):
            connection = http.client.HTTPConnection(*upstream)
            connection.request("GET", self.path)
            reply = connection.getresponse()
            self.log_request(reply.status)
            self.send_response_only(reply.status)
            for name in ("Content-Type", "Content-Security-Policy"):
                if reply.getheader(name):
                    self.send_header(name, reply.getheader(name))
            self.end_headers()
            # The browser's clock stands still while it waits for anything, so what does not end is ended after a second.
            end = time.monotonic() + 1
            while (part := reply.read1()) and (self.path != "/live/events" or time.monotonic() < end):
                self.wfile.write(part)
            connection.close()

        def log_message(self, *args):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1], asked


SERVICE_PATHS = ("/live", "/docs", "/live/events", "/openapi.json")


def start_service(assay):
    """A service that has something to show."""
    process = subprocess.Popen(
        [assay, "serve", "--listen", "127.0.0.1:0", "--slots", "2", "--cache", "50", "--until-stdin-closes", "--log-level", "error"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    host, port = process.stdout.readline().strip().removeprefix("http://").split(":")
    upstream = (host, int(port))

    def ask(path, body):
        connection = http.client.HTTPConnection(*upstream)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        connection.getresponse().read()

    def keep_asking():
        dice = random.Random(1)
        task = {"type": "code", "test_cases": [{"input": f"{n}\n", "output": f"{2 * n}\n"} for n in (1, 40)]}
        codes = [RIGHT] * 6 + [WRONG[0], WRONG[1], WRONG[5], "import time; time.sleep(2)"]
        while process.poll() is None:
            code = dice.choice(codes)
            fenced = {"problem": {"task": task}, "completion": f"```python\n{code}\n```", "limits": {"cpu_time": 1, "wall_time": 1}}
            number = dice.randrange(30)
            math = {"problem": {"task": {"type": "math", "ground_truth": "7"}}, "completion": f"so \\boxed{{{number % 9}}} {number}"}
            try:
                ask(*dice.choice([("/v1/grade", fenced), ("/v1/grade", math), ("/run_code", {"code": code, "run_timeout": 1})]))
                if dice.random() < 0.02:
                    ask("/v1/grade/batch", {"items": [fenced] * 40})
            except OSError:
                return

    for _ in range(3):
        threading.Thread(target=keep_asking, daemon=True).start()
    time.sleep(20)
    return process, upstream


def browse(chromium, port, frame, folder, more):
    net_log = folder / "net.json"
    run = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking",
         "--disable-component-update", "--no-first-run", "--virtual-time-budget=5000",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--enable-logging=stderr", "--v=0",
         f"--log-net-log={net_log}", f"--user-data-dir={folder / 'profile'}", *more, f"http://127.0.0.1:{port}/{frame}"],
        capture_output=True, text=True, timeout=120, check=True,
    )
    console = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    text = net_log.read_text()
    log = json.loads(text if text.rstrip().endswith("}") else text.rstrip().rstrip(",") + "]}")
    # The browser asks for things of its own; what the page asks for has the page as its initiator.
    events = [event.get("params", {}) for event in log["events"]]
    asked = {event.get("url", "") for event in events if "//127.0.0.1" in event.get("initiator", "")}
    outside = {url for url in asked if "//127.0.0.1" not in url}
    return run.stdout, console, outside


def look(chromium, folder, page, port, asked):
    """Light and dark, for a service's pages; with all that opens closed and open."""
    service = f"/{page}" in SERVICE_PATHS
    wait, theirs = (2500, {"/live": {"/live/events"}, "/docs": {"/openapi.json"}}[f"/{page}"]) if service else (0, set())
    looks = [("", "false", []), ("-open", "true", [])]
    if service:
        looks.append(("-dark", "false", ["--blink-settings=preferredColorScheme=0"]))
    faults = []
    for name, width in WIDTHS.items():
        for state, opened, colours in looks:
            frame = f"frame-{name}{state}.html"
            (folder / frame).write_text(FRAME % (page, width, 900, opened, wait))
            asked.clear()
            dom, console, outside = browse(chromium, port, frame, folder, ["--window-size=1280,1000", "--dump-dom", *colours])
            measured = dom.split("data-measured=\"")[1].split('"')[0]
            inner, outer, height = json.loads(measured)
            if inner > outer:
                faults.append(f"{page} at {width} px is {inner} px wide")
            faults += [f"{page} at {width} px: {line}" for line in console]
            faults += [f"{page} asks for {url}" for url in sorted(set(asked) - theirs - {f"/{frame}", f"/{page}", "/favicon.ico"})]
            faults += [f"{page}: a request to {url}" for url in outside]
            (folder / frame).write_text(FRAME % (page, width, height, opened, wait))
            picture = folder / f"{page.removesuffix('.html')}-{name}{state}.png"
            size = f"--window-size={width},{min(height, 16000)}"
            browse(chromium, port, frame, folder, [size, f"--screenshot={picture}", *colours])
            print(f"{picture}: {width} x {height}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assay", default="target/debug/assay")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/pages"))
    parser.add_argument("--problems", type=pathlib.Path)
    parser.add_argument("--completions", type=pathlib.Path)
    parser.add_argument("--service", action="store_true", help="look at a service's pages")
    parser.add_argument("--pages", nargs="*", help="look at these pages in --out, and make none")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no chromium on PATH; install the package chromium")
    arguments.out.mkdir(parents=True, exist_ok=True)
    folder = arguments.out.resolve()
    pages, service, upstream = arguments.pages, None, None
    if arguments.service:
        service, upstream = start_service(pathlib.Path(arguments.assay).resolve())
        pages = ["live", "docs"]
    if not pages:
        given = arguments.problems and arguments.completions
        files = (arguments.problems, arguments.completions, arguments.completions) if given else problems(folder)
        pages = make(pathlib.Path(arguments.assay).resolve(), folder, files)
    port, asked = serve(folder, upstream)
    faults = [fault for page in pages for fault in look(chromium, folder, page, port, asked)]
    if service:
        service.stdin.close()
        service.wait()
    for fault in faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


main()
