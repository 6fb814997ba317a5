//! Every way a run can end, one row each; then what must hold besides: whole output, input nobody reads, sessions,
//! nothing left behind, trusted processes killed in the middle of a run.
//!
//! The table runs as root and as an ordinary user; where the two differ by design, the row says so.

mod processes;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use assay_sandbox::Termination::{
    CpuTimeLimit, Exited, ForbiddenSyscall, MemoryLimit, OutputLimit, ProcessLimit, Signaled, WallTimeLimit,
};
use assay_sandbox::{
    Exchange, Executable, Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxConfig, SandboxError,
    Session, Termination, Tier, WallState,
};
use libtest_mimic::{Arguments, Failed, Trial};
use processes::{family, name_of};

#[expect(non_upper_case_globals, reason = "as the tables read best")]
const Python3: Language = Language::Python3;
#[expect(non_upper_case_globals, reason = "as the tables read best")]
const Cpp17: Language = Language::Cpp17;

fn main() {
    assay_sandbox::init();
    let process: Vec<String> = std::env::args().collect();
    if let [_, role, name] = process.as_slice()
        && role == ALONE_ROLE
    {
        let (_, check) = ALONE.iter().find(|(known, _)| known == name).expect("a check");
        return check();
    }
    let arguments = Arguments::from_args();
    // Started by the first test that needs it: listing tests starts nothing.
    let shared: Shared = Arc::default();
    let mut trials: Vec<Trial> = ENDS.iter().map(|row| end_trial(&shared, row)).collect();
    trials.extend(CHECKS.iter().map(|(name, check)| {
        let shared = Arc::clone(&shared);
        Trial::test(*name, move || {
            check(sandbox(&shared));
            Ok(())
        })
    }));
    trials.extend(ALONE.iter().map(|(name, _)| Trial::test(*name, || alone(name))));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(shared);
    conclusion.exit();
}

type Shared = Arc<OnceLock<Sandbox>>;

fn sandbox(shared: &Shared) -> &Sandbox {
    let config = SandboxConfig { slots: 2, ..SandboxConfig::default() };
    shared.get_or_init(|| Sandbox::start(&config).expect("a sandbox"))
}

type Check = fn(&Sandbox);

const CHECKS: &[(&str, Check)] = &[
    ("output_of_64_mib_is_whole", whole_output),
    ("output_need_not_be_utf8", binary_output),
    ("output_exactly_at_the_limit_is_fine", output_at_the_limit),
    ("input_nobody_reads_does_not_block", unread_input),
    ("input_of_many_megabytes_arrives", large_input),
    ("both_streams_at_once", both_streams),
    ("streams_open_again_by_name", streams_by_name),
    ("arguments_and_environment_are_plain", plain_environment),
    ("hashes_repeat", hashes_repeat),
    ("usage_is_the_programs_own", usage_is_its_own),
    ("compiler_messages_come_back", compiler_messages),
    ("absurd_limits_are_refused", absurd_limits),
    ("a_source_over_its_cap_is_refused", large_source),
    ("sessions_exchange_values", session_values),
    ("sessions_end", session_ends),
    ("sessions_notice_malformed_frames", session_malformed),
    ("session_limits_hold_per_exchange", session_limits),
    ("a_dropped_session_frees_its_slot", session_dropped),
    ("many_threads_share_the_pool", many_threads),
    ("doctor_lists_walls_and_languages", doctor),
];

/// These count or kill processes, so each runs in a process of its own.
const ALONE: &[(&str, fn())] = &[
    ("nothing_is_left_behind", nothing_left),
    ("a_killed_spawner_is_replaced", killed_spawner),
    ("a_killed_slot_is_replaced_and_the_run_repeated", killed_slot),
    ("an_unreachable_tier_is_refused", unreachable_tier),
];
const ALONE_ROLE: &str = "__alone";

fn alone(name: &str) -> Result<(), Failed> {
    let output = Command::new(std::env::current_exe()?).args([ALONE_ROLE, name]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// A program, what changes in the limits, and the ends that are right.
struct End {
    name: &'static str,
    language: Language,
    source: &'static str,
    limits: fn(&mut Limits),
    ends: &'static [Termination],
}

const fn end(
    name: &'static str,
    language: Language,
    source: &'static str,
    limits: fn(&mut Limits),
    ends: &'static [Termination],
) -> End {
    End { name, language, source, limits, ends }
}

#[rustfmt::skip]
const ENDS: &[End] = &[
    end("exit_0", Python3, "", |_| {}, &[Exited(0)]),
    end("exit_code", Python3, "raise SystemExit(41)", |_| {}, &[Exited(41)]),
    end("uncaught_exception", Python3, "1 // 0", |_| {}, &[Exited(1)]),
    end("exit_code_native", Cpp17, "int main() { return 42; }", |_| {}, &[Exited(42)]),
    end("abort", Python3, "import os; os.abort()", |_| {}, &[Signaled(6)]),
    end("segfault", Cpp17, "int main() { volatile int *p = 0; *p = 1; }", |_| {}, &[Signaled(11)]),
    end("division", Cpp17, "int main(int n, char **) { volatile int z = n - 1; return 7 / z; }", |_| {}, &[Signaled(8)]),
    end("kills_itself", Python3, "import os; os.kill(os.getpid(), 15)", |_| {}, &[Signaled(15)]),
    end("cpu_loop", Python3, "while True: pass", |l| l.cpu_time = Duration::from_millis(300), &[CpuTimeLimit]),
    end("cpu_in_c_code", Python3, "x = 3 ** 10 ** 9", |l| l.cpu_time = Duration::from_millis(300), &[CpuTimeLimit]),
    end("cpu_of_threads_is_summed", Cpp17,
        "#include <thread>\nvoid f() { for (volatile int i = 0;; i = i + 1); }\nint main() { std::thread a(f), b(f); a.join(); }",
        |l| l.cpu_time = Duration::from_millis(400), &[CpuTimeLimit]),
    end("sleeper", Python3, "import time; time.sleep(60)", |l| l.wall_time = Duration::from_millis(400), &[WallTimeLimit]),
    end("waits_for_itself", Python3, "import os; r, w = os.pipe(); os.read(r, 1)", |l| l.wall_time = Duration::from_millis(400), &[WallTimeLimit]),
    end("memory_at_once", Python3, "x = bytearray(8 << 30)\nfor i in range(0, len(x), 4096): x[i] = 1", |_| {}, &[MemoryLimit]),
    end("memory_in_blocks", Python3, "a = []\nwhile True: a.append(b'x' * (1 << 26))", |_| {}, &[MemoryLimit]),
    end("memory_native", Cpp17,
        "#include <vector>\n#include <cstring>\nint main() { for (;;) memset(new char[1 << 20], 1, 1 << 20); }",
        |_| {}, &[MemoryLimit]),
    end("memory_below_the_limit", Python3, "x = bytearray(180 << 20); print(len(x))", |_| {}, &[Exited(0)]),
    end("output", Python3, "while True: print('x' * 65536)", |l| l.output = 1 << 20, &[OutputLimit]),
    end("error_output", Python3, "import sys\nwhile True: print('x' * 65536, file=sys.stderr)", |l| l.output = 1 << 20, &[OutputLimit]),
    // Without a control group guests may start threads only, so forking is an error they see.
    end("processes", Python3, "import os, time\nfor _ in range(100):\n    if os.fork() == 0: time.sleep(9)",
        |l| l.processes = 8, &[ProcessLimit, Exited(1)]),
    end("threads", Python3, "import threading, time\nfor _ in range(100): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        |l| l.processes = 8, &[ProcessLimit, Exited(1)]),
    end("forbidden", Python3, "import ctypes; ctypes.CDLL(None).syscall(101, 0, 0, 0, 0)", |_| {}, &[ForbiddenSyscall]),
    end("socket_is_an_ordinary_error", Python3,
        "import socket\ntry: socket.socket()\nexcept PermissionError: raise SystemExit(5)", |_| {}, &[Exited(5)]),
    end("stack", Cpp17, "int f(int n) { volatile char b[999]; b[0] = n; return f(n + 1) + b[0]; }\nint main() { return f(1); }",
        |_| {}, &[Signaled(11)]),
    end("recursion_of_90000_frames", Python3,
        "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return n and 1 + f(n - 1)\nassert f(90000) == 90000", |_| {}, &[Exited(0)]),
    end("stack_without_limit", Cpp17, "int f(int n) { volatile char b[999]; b[0] = 1; return n ? f(n - 1) + b[0] : 0; }\nint main() { return f(150000) != 150000; }",
        |l| l.stack = u64::MAX, &[Exited(0)]),
    end("open_files", Python3, "import os\nfor _ in range(100): os.dup(0)", |l| l.open_files = 32, &[Exited(1)]),
    end("asyncio", Python3, "import asyncio\nasync def f(): await asyncio.sleep(0.01); return 3\nassert asyncio.run(f()) == 3", |_| {}, &[Exited(0)]),
    end("usual_imports", Python3,
        "import bisect, collections, copy, decimal, fractions, functools, heapq, itertools, json, math, operator, random, re, statistics, string, typing, zlib, hashlib, datetime, array, struct, io, contextlib, queue",
        |_| {}, &[Exited(0)]),
    end("real_main", Python3, "import sys, __main__\nassert __name__ == '__main__' and __main__.__file__ == __file__ == '/box/main.py', __file__\nassert open(__file__).read().startswith('import sys')\nexit(0)",
        |_| {}, &[Exited(0)]),
    end("header_of_everything", Cpp17, "#include <bits/stdc++.h>\nint main() { std::map<std::string, int> m; m[\"a\"]++; return m.size() - 1; }", |_| {}, &[Exited(0)]),
    end("cpp_exceptions", Cpp17, "#include <stdexcept>\nint main() { try { throw std::runtime_error(\"x\"); } catch (std::exception &) { return 3; } }", |_| {}, &[Exited(3)]),
];

fn end_trial(shared: &Shared, row: &'static End) -> Trial {
    let shared = Arc::clone(shared);
    Trial::test(row.name, move || {
        let mut limits = Limits::DEFAULT;
        (row.limits)(&mut limits);
        let outcome = run(sandbox(&shared), row.language, row.source, b"", &limits);
        if row.ends.contains(&outcome.termination) {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&outcome.stderr).into_owned();
        Err(format!("{:?} {:?}, wanted one of {:?}: {stderr}", outcome.termination, outcome.usage, row.ends)
            .into())
    })
}

fn prepare(sandbox: &Sandbox, language: Language, source: &str) -> Executable {
    match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => executable,
        Prepared::Refused(outcome) => panic!("refused: {}", String::from_utf8_lossy(&outcome.stderr)),
    }
}

fn run(sandbox: &Sandbox, language: Language, source: &str, stdin: &[u8], limits: &Limits) -> Outcome {
    sandbox.run(&prepare(sandbox, language, source), stdin, limits).expect("run")
}

fn python(sandbox: &Sandbox, source: &str, stdin: &[u8]) -> Outcome {
    run(sandbox, Python3, source, stdin, &Limits::DEFAULT)
}

/// What a program printed, when it ended well.
fn printed(outcome: &Outcome) -> String {
    assert_eq!(outcome.termination, Exited(0), "{}", String::from_utf8_lossy(&outcome.stderr));
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

fn whole_output(sandbox: &Sandbox) {
    let source =
        "import sys\nblock = bytes(range(256)) * 4096\nfor _ in range(64): sys.stdout.buffer.write(block)";
    let outcome = python(sandbox, source, b"");
    assert_eq!((outcome.termination, outcome.stdout.len()), (Exited(0), 64 << 20));
    assert!(outcome.stdout.iter().enumerate().all(|(at, byte)| *byte == at as u8), "some byte is wrong");
}

fn binary_output(sandbox: &Sandbox) {
    let outcome = python(sandbox, r"import os; os.write(1, b'\xff\x00\xfe'); os.write(2, b'\x80')", b"");
    assert_eq!((outcome.stdout.as_slice(), outcome.stderr.as_slice()), (&b"\xff\0\xfe"[..], &b"\x80"[..]));
}

fn output_at_the_limit(sandbox: &Sandbox) {
    let limits = Limits { output: 400_000, ..Limits::DEFAULT };
    for (length, termination) in [(400_000, Exited(0)), (400_001, OutputLimit)] {
        let source = format!("import sys; sys.stdout.write('x' * {length})");
        let outcome = run(sandbox, Python3, &source, b"", &limits);
        assert_eq!((outcome.termination, outcome.stdout.len()), (termination, 400_000));
    }
}

fn unread_input(sandbox: &Sandbox) {
    let outcome = python(sandbox, "print('deaf')", &vec![b'x'; 100 << 20]);
    assert_eq!(printed(&outcome), "deaf\n");
}

fn large_input(sandbox: &Sandbox) {
    let input = b"0123456789abcde\n".repeat(2 << 20);
    let outcome = python(sandbox, "import sys; print(sum(map(len, sys.stdin.buffer)))", &input);
    assert_eq!(printed(&outcome), format!("{}\n", input.len()));
}

fn both_streams(sandbox: &Sandbox) {
    let source =
        "import sys\nfor _ in range(200):\n  sys.stdout.write('o' * 9999)\n  sys.stderr.write('e' * 9999)";
    let outcome = python(sandbox, source, b"");
    assert_eq!((outcome.stdout.len(), outcome.stderr.len()), (1_999_800, 1_999_800));
}

/// Without procfs there is no /proc/self/fd; named pipes stand in for /dev/stdin and its like.
fn streams_by_name(sandbox: &Sandbox) {
    let source = "open('/dev/stdout', 'w').write(open('/dev/stdin').read())\nopen('/dev/stderr', 'w').write('e')\n\
                  print(open(0).read() == '', open('/dev/fd/1', 'w').write('f'))";
    let outcome = python(sandbox, source, b"abc");
    assert_eq!((printed(&outcome).as_str(), outcome.stderr.as_slice()), ("abcfTrue 1\n", &b"e"[..]));
}

fn plain_environment(sandbox: &Sandbox) {
    let source = "import sys, os; print(sys.argv, sorted(os.environ), os.getcwd(), os.umask(0))";
    let mut program = Program::new(Python3, source);
    program.args = vec!["-x".into(), "two words".into()];
    let Prepared::Ready(executable) = sandbox.prepare(&program, &Limits::COMPILE).expect("prepare") else {
        panic!("refused")
    };
    let printed = printed(&sandbox.run(&executable, b"", &Limits::DEFAULT).expect("run"));
    assert!(printed.starts_with("['main.py', '-x', 'two words'] ['HOME', 'LANG', "), "{printed}");
    assert!(printed.trim_end().ends_with("/box 18"), "{printed}");
    assert!(!printed.contains("CARGO"), "{printed}");
}

/// `-E` and `-I` would make the interpreter forget PYTHONHASHSEED, and verdicts would depend on luck.
fn hashes_repeat(sandbox: &Sandbox) {
    let all: BTreeSet<String> =
        (0..4).map(|_| printed(&python(sandbox, "print(hash('a'), list({'x', 'y', 'z'}))", b""))).collect();
    assert_eq!(all.len(), 1, "{all:?}");
}

fn usage_is_its_own(sandbox: &Sandbox) {
    let busy = "import time\nwhile time.process_time() < 0.3: pass\nx = b'x' * (100 << 20)";
    let outcome = python(sandbox, busy, b"");
    let usage = outcome.usage;
    assert!(usage.cpu_time >= Duration::from_millis(280), "{usage:?}");
    assert!(usage.cpu_time < Duration::from_millis(1500), "{usage:?}");
    assert!(usage.peak_memory >= 95 << 20 && usage.peak_memory < 160 << 20, "{usage:?}");
    assert!(usage.wall_time >= Duration::from_millis(280), "{usage:?}");
    let idle = python(sandbox, "pass", b"").usage;
    assert!(idle.peak_memory < 60 << 20, "the run before shows: {idle:?}");
}

fn compiler_messages(sandbox: &Sandbox) {
    for (language, source, message) in [
        (Python3, "print((1\n", "SyntaxError: '(' was never closed"),
        (Cpp17, "int main() { return undeclared; }", "'undeclared' was not declared"),
    ] {
        // An interpreter compiles in the first run.
        let outcome =
            match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE).expect("prepare") {
                Prepared::Refused(outcome) => outcome,
                Prepared::Ready(executable) => sandbox.run(&executable, b"", &Limits::DEFAULT).expect("run"),
            };
        let stderr = String::from_utf8_lossy(&outcome.stderr).replace(['\u{2018}', '\u{2019}'], "'");
        assert!(outcome.refused, "accepted {source}");
        assert_eq!(outcome.termination, Exited(1));
        assert!(stderr.contains(message), "{stderr}");
    }
    // A source that only costs: what ends the interpreter before it has compiled it is a refusal too.
    let bomb = format!("x = [{}]", "1,[],".repeat(200_000));
    let by_cpu = Limits { cpu_time: Duration::from_millis(50), ..Limits::DEFAULT };
    let outcome = run(sandbox, Python3, &bomb, b"", &by_cpu);
    assert_eq!((outcome.refused, outcome.termination), (true, CpuTimeLimit));
    let outcome = run(sandbox, Python3, &bomb, b"", &Limits { memory: 32 << 20, ..Limits::DEFAULT });
    assert!(outcome.refused, "{:?}", outcome.termination);
    let tight = Limits { cpu_time: Duration::from_millis(50), ..Limits::COMPILE };
    let program = Program::new(Cpp17, "#include <bits/stdc++.h>\nint main() {}");
    let Prepared::Refused(outcome) = sandbox.prepare(&program, &tight).expect("prepare") else {
        panic!("accepted")
    };
    assert_eq!(outcome.termination, CpuTimeLimit);
}

fn absurd_limits(sandbox: &Sandbox) {
    let executable = prepare(sandbox, Python3, "pass");
    type Change = fn(&mut Limits);
    let rows: [(&str, Change); 8] = [
        ("cpu_time", |l| l.cpu_time = Duration::ZERO),
        ("cpu_time", |l| l.cpu_time = Duration::MAX),
        ("wall_time", |l| l.wall_time = Duration::ZERO),
        ("memory", |l| l.memory = 0),
        ("memory", |l| l.memory = u64::MAX),
        ("stack", |l| l.stack = 1),
        ("processes", |l| l.processes = 0),
        ("open_files", |l| l.open_files = 3),
    ];
    for (name, change) in rows {
        let mut limits = Limits::DEFAULT;
        change(&mut limits);
        match sandbox.run(&executable, b"", &limits) {
            Err(SandboxError::Invalid(text)) => assert!(text.contains(name), "{text}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn large_source(sandbox: &Sandbox) {
    let program = Program::new(Python3, vec![b' '; Program::MAX_SOURCE + 1]);
    let result = sandbox.prepare(&program, &Limits::COMPILE);
    assert!(matches!(result, Err(SandboxError::Invalid(_))), "{result:?}");
}

/// Reads frames and calls `answer` on each; `send` writes a value frame.
const FRAMES: &str = "
import os, struct, sys, time
def read(n):
    data = b''
    while len(data) < n:
        more = os.read(0, n - len(data))
        if not more: sys.exit(0)
        data += more
    return data
def send(data, length=None):
    data = struct.pack('<I', len(data) if length is None else length) + data
    while data: data = data[os.write(3, data):]
def frames():
    while True: yield read(struct.unpack('<I', read(4))[0])
";

fn open(sandbox: &Sandbox, body: &str, limits: &Limits) -> Session {
    let executable = prepare(sandbox, Python3, &format!("{FRAMES}{body}"));
    sandbox.open(&executable, limits).expect("open")
}

fn session_values(sandbox: &Sandbox) {
    let body = "for frame in frames():\n    print('got', len(frame))\n    send(frame[::-1])";
    let mut session = open(sandbox, body, &Limits::DEFAULT);
    let large = vec![7; 3 << 20];
    for input in [&b"abc"[..], b"", b"\xff\0", &large] {
        let Exchange::Value { bytes, usage } = session.exchange(input).expect("exchange") else {
            panic!("no value")
        };
        assert_eq!(bytes, input.iter().rev().copied().collect::<Vec<u8>>());
        assert!(usage.cpu_time < Duration::from_secs(1));
        assert!(usage.peak_memory > 0 || !grouped(sandbox), "known before the session ends: {usage:?}");
    }
    let outcome = session.close().expect("close");
    assert_eq!(printed(&outcome), "got 3\ngot 0\ngot 2\ngot 3145728\n");
    assert!(outcome.usage.cpu_time > Duration::from_millis(1));
}

/// Whether a control group counts the memory of runs.
fn grouped(sandbox: &Sandbox) -> bool {
    let doctor = sandbox.doctor();
    doctor.walls.iter().any(|wall| wall.name == "cgroup" && matches!(wall.state, WallState::Up(_)))
}

fn session_ends(sandbox: &Sandbox) {
    for (body, end) in [
        ("read(4); sys.exit(0)", Exited(0)),
        ("read(4); sys.exit(3)", Exited(3)),
        ("read(4); os.kill(os.getpid(), 9)", Signaled(9)),
        ("read(4); os.close(3); sys.exit(4)", Exited(4)),
        ("x = []\nwhile True: x.append(bytearray(b'x' * (1 << 24)))", MemoryLimit),
        ("while True: print('x' * 99999)", OutputLimit),
    ] {
        let mut session = open(sandbox, body, &Limits { output: 4 << 20, ..Limits::DEFAULT });
        assert_eq!(session.exchange(b"abc").expect("exchange"), Exchange::Ended(end), "{body}");
        assert!(matches!(session.exchange(b"abc"), Err(SandboxError::Invalid(_))));
        assert_eq!(session.close().expect("close").termination, end, "{body}");
    }
}

fn session_malformed(sandbox: &Sandbox) {
    for body in [
        "next(frames()); send(b'abc', 1 << 30); time.sleep(9)",
        "next(frames()); send(b'abc', 5); sys.exit(0)",
        "next(frames()); os.write(3, b'\\1\\0'); sys.exit(0)",
        "next(frames()); os.write(3, b'\\1\\0\\0\\0a\\1\\0\\0\\0b'); time.sleep(9)",
    ] {
        let limits = Limits { output: 1 << 20, wall_time: Duration::from_secs(3), ..Limits::DEFAULT };
        let mut session = open(sandbox, body, &limits);
        assert_eq!(session.exchange(b"abc").expect("exchange"), Exchange::Malformed, "{body}");
        drop(session);
    }
}

fn session_limits(sandbox: &Sandbox) {
    let busy = "for frame in frames():\n    end = time.process_time() + float(frame)\n    while time.process_time() < end: pass\n    send(b'')";
    let limits = Limits { cpu_time: Duration::from_millis(700), ..Limits::DEFAULT };
    let mut session = open(sandbox, busy, &limits);
    // Three times 0.35 s is over the limit of one exchange, and fine.
    for _ in 0..3 {
        let exchange = session.exchange(b"0.35").expect("exchange");
        assert!(matches!(exchange, Exchange::Value { .. }), "{exchange:?}");
    }
    assert_eq!(session.exchange(b"30").expect("exchange"), Exchange::Ended(CpuTimeLimit));
    let outcome = session.close().expect("close");
    assert_eq!(outcome.termination, CpuTimeLimit);
    assert!(outcome.usage.cpu_time > Duration::from_millis(1500), "{:?}", outcome.usage);

    let limits = Limits { wall_time: Duration::from_millis(500), ..Limits::DEFAULT };
    let mut session = open(sandbox, "next(frames()); time.sleep(30)", &limits);
    assert_eq!(session.exchange(b"").expect("exchange"), Exchange::Ended(WallTimeLimit));
}

fn session_dropped(sandbox: &Sandbox) {
    for _ in 0..5 {
        drop(open(sandbox, "time.sleep(60)", &Limits::DEFAULT));
    }
    assert_eq!(printed(&python(sandbox, "print(1)", b"")), "1\n");
}

fn many_threads(sandbox: &Sandbox) {
    let executable = prepare(sandbox, Python3, "print(int(input()) ** 2)");
    std::thread::scope(|scope| {
        for worker in 0..8u64 {
            let (sandbox, executable) = (sandbox, &executable);
            scope.spawn(move || {
                for round in 0..5 {
                    let number = worker * 100 + round;
                    let outcome = sandbox.run(executable, number.to_string().as_bytes(), &Limits::DEFAULT);
                    assert_eq!(printed(&outcome.expect("run")), format!("{}\n", number * number));
                }
            });
        }
    });
}

fn doctor(sandbox: &Sandbox) {
    let doctor = sandbox.doctor();
    assert!(doctor.tier.is_some());
    let names: Vec<&str> = doctor.walls.iter().map(|wall| wall.name.as_str()).collect();
    for name in ["namespaces", "root", "credentials", "cgroup", "rlimits", "landlock", "seccomp"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    for language in &doctor.languages {
        assert_eq!(language.ok, language.hint.is_empty(), "{language:?}");
        assert_eq!(language.ok, !language.version.is_empty(), "{language:?}");
    }
    assert!(
        doctor.languages.iter().any(|l| l.language == Python3 && l.version.starts_with("3.")),
        "{doctor:?}"
    );
}

fn unreachable_tier() {
    let found = Sandbox::start(&SandboxConfig::default()).expect("a sandbox").doctor().tier.expect("a tier");
    let asked = SandboxConfig { tier: Some(Tier::A), ..SandboxConfig::default() };
    match Sandbox::start(&asked) {
        Ok(_) => assert_eq!(found, Tier::A),
        Err(SandboxError::Unavailable(text)) => {
            assert!(text.contains(&format!("gives tier {found}, tier A was asked for")), "{text}");
        }
        Err(other) => panic!("{other}"),
    }
}

/// Processes, descriptors, mounts and control groups are as many after two hundred runs (ten thousand with `ASSAY_LONG`
/// set) as before.
fn nothing_left() {
    let before = Traces::take();
    {
        let sandbox =
            Sandbox::start(&SandboxConfig { slots: 1, ..SandboxConfig::default() }).expect("a sandbox");
        let rows = [
            (Python3, "print(1)"),
            (Python3, "raise SystemExit(2)"),
            (
                Python3,
                "import os\ntry:\n  if os.fork() == 0: os.setsid(); import time; time.sleep(60)\nexcept OSError: pass",
            ),
            (Python3, "import ctypes; ctypes.CDLL(None).syscall(101, 0, 0, 0, 0)"),
            (Cpp17, "int main() { for (;;) ; }"),
        ];
        let programs = rows.map(|(language, source)| prepare(&sandbox, language, source));
        let limits = Limits { cpu_time: Duration::from_millis(20), ..Limits::DEFAULT };
        let quick = Limits { cpu_time: Duration::from_secs(2), ..Limits::DEFAULT };
        let run = |rounds| {
            for round in 0..rounds {
                let program = &programs[round % programs.len()];
                let limits = if program.language() == Cpp17 { &limits } else { &quick };
                sandbox.run(program, b"", limits).expect("run");
            }
        };
        run(20);
        let warm = Traces::take();
        run(if std::env::var_os("ASSAY_LONG").is_some() { 9_980 } else { 180 });
        let after = Traces::take();
        assert_eq!(warm, after, "grows with the number of runs");
    }
    assert_eq!(before, Traces::take(), "left after the sandbox was dropped");
}

#[derive(Debug, PartialEq, Eq)]
struct Traces {
    processes: Vec<String>,
    descriptors: usize,
    mounts: usize,
    groups: Vec<String>,
}

impl Traces {
    /// Of this process's own sandbox: other sandboxes on the machine are none of this test's business.
    fn take() -> Traces {
        let mine = family(std::process::id());
        let mut processes: Vec<String> = mine.iter().map(|pid| name_of(*pid)).collect();
        processes.sort();
        let groups =
            mine.iter().filter(|pid| name_of(**pid) == "assay: spawner").flat_map(|pid| groups_of(*pid));
        Traces {
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            mounts: fs::read_to_string("/proc/self/mountinfo").map_or(0, |text| text.lines().count()),
            groups: groups.collect::<BTreeSet<_>>().into_iter().collect(),
            processes,
        }
    }
}

/// The groups a spawner has made, by their names.
fn groups_of(spawner: u32) -> Vec<String> {
    let prefix = format!("assay-{spawner}-");
    let mut found = Vec::new();
    let mut directories = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(&prefix) {
                    found.push(entry.path().display().to_string());
                }
                directories.push(entry.path());
            }
        }
    }
    found
}

fn killed_spawner() {
    let sandbox = Sandbox::start(&SandboxConfig { slots: 1, ..SandboxConfig::default() }).expect("a sandbox");
    killed_mid_run(&sandbox, "assay: spawner");
}

fn killed_slot() {
    let sandbox = Sandbox::start(&SandboxConfig { slots: 1, ..SandboxConfig::default() }).expect("a sandbox");
    killed_mid_run(&sandbox, "assay: slot");
}

/// Kills one of our own trusted processes while a program sleeps; the run is repeated on a new slot and its answer
/// is right.
fn killed_mid_run(sandbox: &Sandbox, name: &str) {
    let executable = prepare(sandbox, Python3, "import time; time.sleep(0.8); print('done')");
    let before: BTreeSet<u32> = named(name);
    assert!(!before.is_empty(), "no {name}");
    // Only what belongs to this sandbox: its spawner is the youngest child, its slot the spawner's.
    let victim = *before.iter().next_back().expect("one");
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            let pid = nix::unistd::Pid::from_raw(victim as i32);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("kill");
        });
        sandbox.run(&executable, b"", &Limits::DEFAULT).expect("run")
    });
    assert_eq!(printed(&outcome), "done\n");
    let deadline = Instant::now() + Duration::from_secs(10);
    while named(name).contains(&victim) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!named(name).contains(&victim));
    assert_eq!(printed(&sandbox.run(&executable, b"", &Limits::DEFAULT).expect("run")), "done\n");
}

/// Descendants of this process with that name.
fn named(name: &str) -> BTreeSet<u32> {
    family(std::process::id()).into_iter().filter(|pid| name_of(*pid) == name).collect()
}
