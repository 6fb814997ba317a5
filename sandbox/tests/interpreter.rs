//! What a program can tell of being forked from a warm interpreter: nothing that matters. Each program of the
//! table runs in the box and in a plain interpreter, and must print the same and end the same; then what must be the
//! same from run to run, and what must not pass from one run to the next.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use assay_sandbox::Termination::{CpuTimeLimit, Exited, Signaled, WallTimeLimit};
use assay_sandbox::{
    Executable, Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxConfig, WallState,
};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    assay_sandbox::init();
    if std::env::args().nth(1).as_deref() == Some(ALONE) {
        return replaced();
    }
    let arguments = Arguments::from_args();
    // Started by the first test that needs it: listing tests starts nothing.
    let [shared, cold]: [Arc<OnceLock<Sandbox>>; 2] = Default::default();
    let start = || {
        let config = SandboxConfig { slots: 2, ..SandboxConfig::default() };
        Sandbox::start(&config).expect("a sandbox")
    };
    let start_cold = || {
        let config = SandboxConfig { slots: 2, cold_start: true, ..SandboxConfig::default() };
        Sandbox::start(&config).expect("a sandbox")
    };
    let mut trials = vec![
        Trial::test("a_killed_interpreter_is_replaced", alone),
        Trial::test("an_unwanted_program_is_ended", unwanted),
    ];
    for (name, source) in SAME {
        let shared = Arc::clone(&shared);
        trials.push(Trial::test(format!("as_plain_{name}"), move || same(shared.get_or_init(start), source)));
        let shared = Arc::clone(&cold);
        trials
            .push(Trial::test(format!("cold_{name}"), move || same(shared.get_or_init(start_cold), source)));
    }
    for (name, check) in CHECKS {
        let shared = Arc::clone(&shared);
        let check = move || {
            check(shared.get_or_init(start));
            Ok(())
        };
        trials.push(Trial::test(*name, check));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop((shared, cold));
    conclusion.exit();
}

/// Programs that end, print and fail in every way that an interpreter has a rule for. Each is given an input of
/// two lines, 20 and 22, and the argument -x.
#[rustfmt::skip]
const SAME: &[(&str, &str)] = &[
    ("nothing", ""),
    ("input", "print(int(input()) + int(input()))"),
    ("end_of_input", "input(); input(); input()"),
    ("exit_code", "import sys; sys.exit(7)"),
    ("exit_none", "import sys; sys.exit()"),
    ("exit_text", "import sys; sys.exit('no')"),
    ("exit_true", "import sys; sys.exit(True)"),
    ("exit_large", "import sys; sys.exit(256 + 3)"),
    ("exit_negative", "import sys; sys.exit(-1)"),
    ("exit_beyond_words", "import sys; sys.exit(1 << 70)"),
    ("raise_exit", "raise SystemExit(4)"),
    ("quit", "quit()"),
    ("hard_exit", "import os; print('lost'); os._exit(5)"),
    ("exception", "def f(n):\n    return 1 // n\n\nprint(1)\nf(0)"),
    ("chained_exception", "try:\n    {}['a']\nexcept KeyError as error:\n    raise ValueError('b') from error"),
    ("own_exception", "class Odd(Exception):\n    pass\nraise Odd('x', 2)"),
    ("recursion", "def f(n):\n    return f(n + 1)\ntry:\n    f(0)\nexcept RecursionError as error:\n    print(error)"),
    ("interrupt", "raise KeyboardInterrupt"),
    ("signal", "import os, signal; os.kill(os.getpid(), signal.SIGTERM); print('no')"),
    ("abort", "import os; os.abort()"),
    ("excepthook", "import sys\nsys.excepthook = lambda *a: print('hooked', a[0].__name__)\n1 / 0"),
    ("thread_not_joined", "import threading, time\ndef f():\n    time.sleep(0.05)\n    print('late')\n\
        threading.Thread(target=f).start()\nprint('early')"),
    ("daemon_thread", "import threading, time\n\
        threading.Thread(target=lambda: (time.sleep(9), print('never')), daemon=True).start()\nprint('end')"),
    ("thread_exception", "import threading\nthreading.excepthook = lambda a: print('caught', a.exc_type.__name__)\n\
        t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()"),
    ("main_thread", "import threading\n\
        print(threading.current_thread() is threading.main_thread(), threading.active_count())\n\
        print(threading.main_thread().ident == threading.get_ident(), threading.get_native_id() > 0)"),
    ("atexit", "import atexit\natexit.register(print, 'last')\natexit.register(print, 'first')\nprint('main')"),
    ("atexit_fails", "import atexit, sys\nsys.unraisablehook = lambda u: print('ignored', u.exc_type.__name__)\n\
        atexit.register(lambda: 1 / 0)\nprint('main')"),
    ("exit_in_atexit", "import atexit, sys\nsys.unraisablehook = lambda u: print('ignored', u.exc_type.__name__)\n\
        atexit.register(sys.exit, 9)\nprint('main')"),
    ("exit_after_atexit", "import atexit, sys\natexit.register(print, 'bye')\nsys.exit(3)"),
    ("unflushed", "import sys\nsys.stdout.write('no line end')"),
    ("replaced_stdout", "import sys, io\nsys.stdout = io.StringIO()\nprint('gone')"),
    ("no_stdout", "import sys\nsys.stdout = None\nprint('gone')"),
    ("closed_stdout", "import sys\nprint('x')\nsys.stdout.close()"),
    ("streams", "import sys\nfor s in sys.stdin, sys.stdout, sys.stderr:\n    print(s.name, s.mode, s.encoding, s.errors,\
        s.isatty(), s.line_buffering, s.seekable(), s.buffer.raw.mode)"),
    ("main_module", "import __main__, sys\nprint(sorted(vars(__main__)), __name__, __doc__, __package__, __spec__)\n\
        print(type(__loader__).__name__, sys.modules['__main__'] is __main__)"),
    ("docstring", "'''words'''\nprint(__doc__, __annotations__)\nx: int = 3\nprint(__annotations__)"),
    ("future", "from __future__ import annotations\nx: undefined = 1\nprint(__annotations__)"),
    ("arguments", "import sys\nprint(sys.argv, sys.flags, sys.dont_write_bytecode, sys.getrecursionlimit())"),
    ("hash", "print(hash('assay'), {'a', 'b', 'c'})"),
    ("garbage", "import gc\nprint(gc.isenabled(), gc.get_threshold())\nclass A:\n    pass\na = A(); a.a = a; del a\n\
        print(gc.collect() > 0)"),
    ("pickle", "import pickle\nclass P:\n    def __init__(self): self.x = 3\nprint(pickle.loads(pickle.dumps(P())).x)"),
    ("dataclass", "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nprint(P(1), P.__module__)"),
    ("own_source", "print(len(open(__file__).read()), open(__file__).readline())"),
    ("inspect", "import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f), inspect.currentframe().f_code.co_name)"),
    ("traceback_lines", "import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    print(traceback.format_exc())"),
    ("warning", "import warnings\nwarnings.warn('careful')\nprint('x' is 'x')"),
    ("decimal_context", "from decimal import *\nprint(getcontext().prec, Decimal(1) / 3)"),
    ("pool", "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as pool:\n    print(list(pool.map(abs, [-1, -2])))"),
    ("many_threads", "import threading\nall = [threading.Thread(target=lambda: None) for _ in range(24)]\n\
        for t in all: t.start()\nfor t in all: t.join()\nprint('fine')"),
    ("thread_stack", "import sys, threading\nsys.setrecursionlimit(10 ** 6)\nthreading.stack_size(1 << 27)\n\
        def f(n): return 0 if n == 0 else 1 + f(n - 1)\n\
        t = threading.Thread(target=lambda: print(f(50000))); t.start(); t.join()"),
    ("asyncio", "import asyncio\nasync def main():\n    await asyncio.sleep(0.01)\n    print('woken')\nasyncio.run(main())"),
    ("multiprocessing", "import multiprocessing\nprint(multiprocessing.current_process().name)"),
    ("ctypes", "import ctypes\nprint(ctypes.sizeof(ctypes.c_long), ctypes.CDLL(None).abs(-3))"),
    ("star_imports", "from math import *\nfrom collections import *\nfrom heapq import *\nprint(gcd(4, 6), Counter('aab'), nsmallest(1, [2, 1]))"),
    ("source_encoding", "# -*- coding: latin-1 -*-\nprint(len('\u{e4}'))"),
    ("byte_order_mark", "\u{feff}print('marked')"),
    ("syntax", "print(1\n"),
    ("indentation", "if True:\nprint(1)"),
];

/// A check with a name.
type Check = (&'static str, fn(&Sandbox));

const CHECKS: &[Check] = &[
    ("random_numbers_repeat", random_repeats),
    ("numpy_numbers_repeat", numpy_repeats),
    ("compiled_code_is_reused", compiled_once),
    ("nothing_passes_to_the_next_run", nothing_passes_on),
    ("no_memory_of_the_run_before", no_memory),
    ("walls_stand_around_a_forked_program", walls_stand),
];

const LIMITS: Limits = Limits { cpu_time: Duration::from_secs(10), ..Limits::DEFAULT };

fn prepare(sandbox: &Sandbox, source: &str) -> Executable {
    let program = Program { args: vec!["-x".into()], ..Program::new(Language::Python3, source) };
    match sandbox.prepare(&program, &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => executable,
        Prepared::Refused(outcome) => panic!("{outcome:?}"),
    }
}

fn run(sandbox: &Sandbox, source: &str, stdin: &[u8]) -> Outcome {
    sandbox.run(&prepare(sandbox, source), stdin, &LIMITS).expect("run")
}

fn printed(outcome: &Outcome) -> String {
    assert_eq!(outcome.termination, Exited(0), "{}", String::from_utf8_lossy(&outcome.stderr));
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

/// The same program, boxed and plain.
fn same(sandbox: &Sandbox, source: &str) -> Result<(), Failed> {
    const INPUT: &str = "20\n22\n";
    let boxed = run(sandbox, source, INPUT.as_bytes());
    let place = tempfile::tempdir()?;
    let file = place.path().join("main.py");
    std::fs::write(&file, source)?;
    std::fs::write(place.path().join("in"), INPUT)?;
    let plain = plain(place.path())?;
    let end = match plain.status.signal() {
        Some(signal) => Signaled(signal),
        None => Exited(plain.status.code().unwrap_or(-1)),
    };
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&*file.to_string_lossy(), "/box/main.py");
    let wanted = (end, text(&plain.stdout), text(&plain.stderr));
    let got = (boxed.termination, text(&boxed.stdout), text(&boxed.stderr));
    if got == wanted { Ok(()) } else { Err(format!("boxed {got:#?}\nplain {wanted:#?}").into()) }
}

/// The plain interpreter as a judge would start it, its streams pipes.
fn plain(place: &Path) -> std::io::Result<std::process::Output> {
    let mut feed = Command::new("cat").arg(place.join("in")).stdout(Stdio::piped()).spawn()?;
    let python = std::env::var("ASSAY_PYTHON").unwrap_or_else(|_| interpreter());
    let stdin = feed.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let mut command = Command::new(python);
    command.args(["-s", "-B", "main.py", "-x"]).current_dir(place).stdin(stdin).env_clear();
    command.envs([("PYTHONHASHSEED", "0"), ("PYTHONUTF8", "1"), ("LANG", "C.UTF-8")]);
    let output = command.output();
    feed.wait()?;
    output
}

/// Behind a shell shim of PATH, the interpreter itself.
fn interpreter() -> String {
    let ask = ["-I", "-c", "import sys, os; print(os.path.realpath(sys.executable))"];
    let output = Command::new("python3").args(ask).output().expect("python3");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

const DRAW: &str = "import random\nprint(random.random(), random.sample(range(99), 5), input())";

fn random_repeats(sandbox: &Sandbox) {
    let first = printed(&run(sandbox, DRAW, b"1"));
    for _ in 0..4 {
        assert_eq!(printed(&run(sandbox, DRAW, b"1")), first);
    }
    assert_ne!(printed(&run(sandbox, DRAW, b"2")), first, "another input");
    assert_ne!(printed(&run(sandbox, &format!("{DRAW} "), b"1")), first, "another program");
}

fn numpy_repeats(sandbox: &Sandbox) {
    let draw =
        "try:\n    import numpy\n    print(numpy.random.rand(3))\nexcept ImportError:\n    print('none')";
    let first = printed(&run(sandbox, draw, b""));
    assert_eq!(printed(&run(sandbox, draw, b"")), first);
}

/// Later runs load what the first one compiled, and are the same program all the same.
fn compiled_once(sandbox: &Sandbox) {
    let executable = prepare(
        sandbox,
        "def f(n):\n    return n + 1\nprint(f(int(input())), f.__code__.co_filename, __file__)\n1 / 0",
    );
    let [first, second] = [1, 2].map(|_| sandbox.run(&executable, b"41", &LIMITS).expect("run"));
    assert_eq!((&first.stdout, &first.stderr), (&second.stdout, &second.stderr));
    assert_eq!(first.stdout, b"42 /box/main.py /box/main.py\n");
    assert!(!second.refused && second.termination == Exited(1));
}

fn nothing_passes_on(sandbox: &Sandbox) {
    let spoil = "import sys, builtins, math, json, os, random\nbuiltins.print = None\n\
        math.sqrt = json.dumps = lambda *a: 'spoilt'\nsys.modules['heapq'] = math\nos.environ['LEFT'] = 'x'\n\
        sys.setrecursionlimit(50)\nrandom.random = lambda: 4";
    let look = "import os, math, json, heapq, random, sys\nprint(math.sqrt(4), json.dumps([1]), heapq.__name__,\
        'LEFT' in os.environ, random.random() < 1, sys.getrecursionlimit())";
    for _ in 0..4 {
        run(sandbox, spoil, b"");
        assert_eq!(printed(&run(sandbox, look, b"")), "2.0 [1] heapq False True 1000\n");
    }
}

/// Reads its own memory, all of the heap and what lies around its objects, by having the kernel write it into a pipe.
/// It looks for two words side by side, the second of which it is given backwards.
const SEARCH: &str = r#"
import ctypes, os
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
first, second = input().encode(), input().encode()
planted = [first + second[::-1] + bytes([n]) for n in range(9)] if input() == 'planted' else []
reading, writing = os.pipe()
seen, hits = set(), 0
def scan(address, step):
    global hits
    while address not in seen and libc.write(writing, ctypes.c_void_p(address), 4096) == 4096:
        seen.add(address)
        page = os.read(reading, 4096)
        at = page.find(first)
        while at >= 0:
            behind = page[at + len(first):at + len(first) + len(second)]
            hits += behind[::-1] == second
            at = page.find(first, at + 1)
        address += step
places = [libc.sbrk(0) - 1] + [id(thing) for thing in (first, scan, seen, os, input, ctypes, planted, hits)]
for place in places + list(map(id, planted)):
    scan(place & -4096, 4096)
    scan((place & -4096) - 4096, -4096)
print(len(seen) > 500, hits > 0)
"#;

fn no_memory(sandbox: &Sandbox) {
    let (first, second) = ("kq7vPz2mXw", "Tn4bRy8cLd");
    let backwards: String = second.chars().rev().collect();
    let secret = format!("{first}{second}");
    let ask = |planted: &str| {
        let input = format!("{first}\n{backwards}\n{planted}\n");
        printed(&run(sandbox, SEARCH, input.as_bytes()))
    };
    assert_eq!(ask("planted"), "True True\n", "the search finds what is there");
    for _ in 0..4 {
        // Once in the source, the arguments and the input.
        let mut program = Program::new(Language::Python3, format!("x = '{secret}'\nprint(len(x), input())"));
        program.args = vec![secret.clone()];
        let Prepared::Ready(executable) = sandbox.prepare(&program, &Limits::COMPILE).expect("prepare")
        else {
            panic!("refused")
        };
        printed(&sandbox.run(&executable, secret.as_bytes(), &LIMITS).expect("run"));
        assert_eq!(ask("nothing"), "True False\n", "something of the run before is left");
    }
}

/// What a program finds when it asks the kernel itself: its descriptors, numbers, filters and rights, and how the
/// calls are answered that its interpreter still needed.
const LOOK_AROUND: &str = r#"
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    return libc.syscall(number, *arguments), ctypes.get_errno()
print("descriptors", [fd for fd in range(1024) if call(72, fd, 1)[0] >= 0])
print("process", os.getpid(), os.getppid(), os.getpgrp() == os.getpid())
print("seccomp", call(157, 21)[0])
# Nothing but landlock minds that.
try: print("landlock", len(os.listdir("/")) == 0)
except PermissionError: print("landlock", True)
header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
print("capabilities", sum(sets))
for name, number, arguments in [
    ("setresuid", 117, (0, 0, 0)), ("setgroups", 116, (0, 0)), ("capset", 126, (header, sets)),
    ("seccomp", 317, (1, 0, 0)), ("landlock", 446, (0, 0)), ("recvmsg", 47, (0, 0, 0)),
]:
    print(name, call(number, *arguments))
for name, number, arguments in [
    ("setns", 308, (0, 0)), ("sibling", 56, (0x8000 | 17, 0, 0, 0, 0)), ("namespace", 56, (0x10000000 | 17, 0, 0, 0, 0)),
]:
    pid = os.fork()
    if pid == 0:
        call(number, *arguments)
        os._exit(0)
    print(name, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGSYS)
"#;

fn walls_stand(sandbox: &Sandbox) {
    let outcome = run(sandbox, LOOK_AROUND, b"");
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let walls = sandbox.doctor().walls;
    let landlock = walls.iter().any(|wall| wall.name == "landlock" && matches!(wall.state, WallState::Up(_)));
    let landlock = if landlock { "True" } else { "False" };
    let wanted = format!(
        "descriptors [0, 1, 2]\nprocess 2 0 True\nseccomp -1\nlandlock {landlock}\ncapabilities 0\nsetresuid (-1, 1)\n\
         setgroups (-1, 1)\ncapset (-1, 1)\nseccomp (-1, 38)\nlandlock (-1, 38)\nrecvmsg (-1, 38)\n"
    );
    assert!(text.starts_with(&wanted), "{text}\n{outcome:?}");
    if outcome.termination == Exited(0) {
        assert!(text.ends_with("setns True\nsibling True\nnamespace True\n"), "{text}");
    } else {
        // Without a control group a guest may start no process, not even to be killed.
        assert_eq!(text.len(), wanted.len(), "{text}");
    }
}

/// The argument that makes this executable run [`replaced`] and nothing else: a forked guest looks like its
/// interpreter from outside, so nobody else's may be there.
const ALONE: &str = "--replaced";

fn alone() -> Result<(), Failed> {
    let output = Command::new(std::env::current_exe()?).arg(ALONE).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said.into()) }
}

/// An interpreter that is killed between two runs costs nobody a verdict.
fn replaced() {
    let sandbox =
        &Sandbox::start(&SandboxConfig { slots: 1, ..SandboxConfig::default() }).expect("a sandbox");
    printed(&run(sandbox, "print()", b""));
    let busy = Limits { cpu_time: Duration::from_millis(300), ..Limits::DEFAULT };
    for _ in 0..6 {
        let killed = interpreters();
        assert!(!killed.is_empty(), "no interpreter is warm");
        for pid in killed {
            Command::new("kill").args(["-9", &pid]).status().expect("kill");
        }
        assert_eq!(printed(&run(sandbox, "print('still here')", b"")), "still here\n");
        let outcome = sandbox.run(&prepare(sandbox, "while True: pass"), b"", &busy).expect("run");
        assert_eq!(outcome.termination, CpuTimeLimit);
    }
}

/// A client that hung up kept a slot busy until its program's limit.
fn unwanted() -> Result<(), Failed> {
    static GONE: AtomicBool = AtomicBool::new(false);
    let unwanted: fn() -> bool = || GONE.load(Relaxed);
    let config = SandboxConfig { slots: 1, unwanted: Some(unwanted), ..SandboxConfig::default() };
    let sandbox = &Sandbox::start(&config)?;
    let minute = Duration::from_secs(60);
    let limits = Limits { cpu_time: minute, wall_time: minute, ..Limits::DEFAULT };
    for source in ["while True: pass", "import time; time.sleep(100)"] {
        let program = prepare(sandbox, source);
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            GONE.store(true, Relaxed);
        });
        let outcome = sandbox.run(&program, b"", &limits)?;
        GONE.store(false, Relaxed);
        assert_eq!(outcome.termination, WallTimeLimit, "{source}");
        assert!(outcome.usage.wall_time < minute / 2, "{source}: {:?}", outcome.usage);
        assert_eq!(printed(&run(sandbox, "print('wanted')", b"")), "wanted\n");
    }
    Ok(())
}

/// The warm interpreters below this process.
fn interpreters() -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![std::process::id().to_string()];
    while let Some(pid) = open.pop() {
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            open.extend(children.split_whitespace().map(str::to_owned));
        }
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains("The interpreter's side of a run") {
            found.push(pid);
        }
    }
    found
}
