//! Tier W and the process that compiles: what needs an executable whose `main` begins with `init`. What a module can do
//! once it runs is in `src/wasm/tests.rs`, attacks are in `tests/escapes/` at the top.

use std::process::Command;
use std::time::Duration;

use assay_sandbox::{
    Lack, Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxConfig, SandboxError, Termination,
    Tier,
};
use libtest_mimic::{Arguments, Failed, Trial};

type Result = std::result::Result<(), Failed>;
type Test = fn() -> Result;

/// In the environment of a process that only tells where its engine places instances.
const TELL: &str = "WASM_TEST_TELL";

fn main() {
    assay_sandbox::init();
    if std::env::var_os(TELL).is_some() {
        println!("{}", sandbox().doctor().languages.iter().map(|state| &*state.version).collect::<String>());
        return;
    }
    let arguments = Arguments::from_args();
    let tests: [(&str, Test); 9] = [
        ("tier_w_is_never_taken_silently", tier_w_is_never_taken_silently),
        ("tier_w_runs_webassembly_and_refuses_the_rest", tier_w_runs_webassembly_and_refuses_the_rest),
        ("compile_bombs_are_refused_and_leave_nothing", compile_bombs_are_refused_and_leave_nothing),
        ("a_compiler_that_cannot_start_is_our_failure", a_compiler_that_cannot_start_is_our_failure),
        ("little_address_space_is_enough", little_address_space_is_enough),
        ("the_rate_of_fuel_is_the_callers", the_rate_of_fuel_is_the_callers),
        ("c_and_cpp_run_where_their_tools_are", c_and_cpp_run_where_their_tools_are),
        ("python_runs_where_it_is_configured", python_runs_where_it_is_configured),
        (
            "a_python_that_is_none_is_refused_with_what_to_do",
            a_python_that_is_none_is_refused_with_what_to_do,
        ),
    ];
    let trials = tests.map(|(name, test)| Trial::test(name, test));
    libtest_mimic::run(&arguments, trials.into()).exit();
}

fn config() -> SandboxConfig {
    SandboxConfig { tier: Some(Tier::W), without: vec![Lack::Walls], ..SandboxConfig::default() }
}

fn sandbox() -> Sandbox {
    Sandbox::start(&config()).expect("tier W stands on every host")
}

fn module(body: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module (memory (export "memory") 1) (func (export "_start") (local i32) {body}))"#
    ))
    .expect("a module")
}

fn prepare(
    sandbox: &Sandbox,
    module: Vec<u8>,
    limits: &Limits,
) -> std::result::Result<Prepared, SandboxError> {
    sandbox.prepare(&Program::new(Language::Wasm, module), limits)
}

fn run(sandbox: &Sandbox, body: &str, limits: &Limits) -> Outcome {
    match prepare(sandbox, module(body), &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => sandbox.run(&executable, b"", limits).expect("run"),
        Prepared::Refused(outcome) => outcome,
    }
}

fn tier_w_is_never_taken_silently() -> Result {
    for tier in [None, Some(Tier::A), Some(Tier::C)] {
        let result = Sandbox::start(&SandboxConfig { tier, ..config() });
        assert!(matches!(result, Err(SandboxError::Unavailable(_))), "{tier:?}: {result:?}");
    }
    // The least that is accepted, not what is asked for: with walls there is a better tier.
    let walled = Sandbox::start(&SandboxConfig { tier: Some(Tier::W), ..SandboxConfig::default() })?;
    let without = Sandbox::start(&SandboxConfig::default());
    assert_eq!(walled.tier() == Some(Tier::W), without.is_err());
    Ok(())
}

fn tier_w_runs_webassembly_and_refuses_the_rest() -> Result {
    let sandbox = sandbox();
    assert_eq!(run(&sandbox, "", &Limits::DEFAULT).termination, Termination::Exited(0));
    for language in [Language::Python3, Language::Cpp17] {
        let refused = sandbox.prepare(&Program::new(language, "x"), &Limits::COMPILE);
        let Err(SandboxError::Unavailable(why)) = refused else { panic!("{language:?}: {refused:?}") };
        assert!(why.contains("tier W") && why.contains("kernel walls"), "{why}");
    }
    let doctor = sandbox.doctor();
    assert_eq!(doctor.tier, Some(Tier::W));
    for state in doctor.languages {
        let module = state.language == Language::Wasm || state.language.name() == "python-wasi" && state.ok;
        assert_eq!(state.ok, module, "{state:?}");
    }
    Ok(())
}

/// Ten thousand loops in a row took the compiler 40 s, quadratic in their number, on a thread that could not be stopped.
fn compile_bombs_are_refused_and_leave_nothing() -> Result {
    let sandbox = sandbox();
    let loops = "loop (local.set 0 (i32.const 1)) (br_if 0 (local.get 0)) end ".repeat(10_000);
    let limits = Limits { cpu_time: Duration::from_millis(500), ..Limits::COMPILE };
    // Every local may have another value at the head of every loop.
    let sets: String = (0..20_000).map(|n| format!("(local.set {n} (i32.eqz (local.get {n})))")).collect();
    let (heads, tails) = ("(loop ".repeat(500), "(br_if 0 (local.get 0)))".repeat(500));
    let locals = "i32 ".repeat(20_000);
    let values = format!(r#"(module (func (export "_start") (local {locals}) {heads} {sets} {tails}))"#);
    let little = Limits { memory: 4 << 20, ..Limits::COMPILE };
    let rows = [
        ("time", module(&loops), &limits, Termination::CpuTimeLimit, "more than 0.5 s to compile"),
        ("memory", wat::parse_str(values)?, &little, Termination::MemoryLimit, "more than 4 MiB to compile"),
    ];
    for (name, module, limits, expected, said) in rows {
        match prepare(&sandbox, module, limits)? {
            Prepared::Ready(_) => assert_eq!(expected, Termination::Exited(0), "{name}"),
            Prepared::Refused(outcome) => {
                let stderr = String::from_utf8_lossy(&outcome.stderr);
                assert!(outcome.refused && outcome.termination == expected, "{name}: {outcome:?}");
                assert!(stderr.contains(said), "{name}: {stderr}");
            }
        }
        assert_eq!(run(&sandbox, "", &Limits::DEFAULT).termination, Termination::Exited(0), "{name}");
    }
    Ok(())
}

fn a_compiler_that_cannot_start_is_our_failure() -> Result {
    for helper in ["/nonexistent", "/bin/false", "/bin/true"] {
        let sandbox = Sandbox::start(&SandboxConfig { helper: Some(helper.into()), ..config() })?;
        let result = prepare(&sandbox, module(""), &Limits::COMPILE);
        assert!(matches!(result, Err(SandboxError::Step { .. })), "{helper}: {result:?}");
    }
    Ok(())
}

/// Slots reserve gigabytes of addresses each. Where a process may not, the engine does without, and programs run.
fn little_address_space_is_enough() -> Result {
    let tell = |prefix: &str| {
        let script = format!("{prefix} exec \"$0\"");
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(std::env::current_exe()?).env(TELL, "1").output()
    };
    for (prefix, room) in [("", "pooled"), ("ulimit -v 2000000;", "tight")] {
        let output = tell(prefix)?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.contains(room), "{prefix}: {stdout} {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn the_rate_of_fuel_is_the_callers() -> Result {
    let body = "(loop $l (local.set 0 (i32.add (local.get 0) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get 0) (i32.const 1000000))))";
    let figures = [1_000_000_000, 10_000_000].map(|fuel_per_second| {
        let sandbox = Sandbox::start(&SandboxConfig { fuel_per_second, ..config() }).expect("tier W");
        let generous = Limits { cpu_time: Duration::from_secs(10), ..Limits::DEFAULT };
        let usage = run(&sandbox, body, &generous).usage;
        let limits = Limits { cpu_time: Duration::from_millis(100), ..Limits::DEFAULT };
        (usage.fuel, usage.cpu_time, run(&sandbox, body, &limits).termination)
    });
    let [(fuel, time, fast), (same_fuel, longer, slow)] = figures;
    assert_eq!((fuel, time, fast), (same_fuel, longer / 100, Termination::Exited(0)));
    assert_eq!((time, slow), (Duration::from_nanos(fuel), Termination::CpuTimeLimit));
    Ok(())
}

/// Where clang with its WASI libraries is missing there is nothing to run; then doctor must say what to install.
fn c_and_cpp_run_where_their_tools_are() -> Result {
    const C: &str = "#include <stdio.h>\nint main(void) { int n = 0; scanf(\"%d\", &n); printf(\"%d\\n\", n + 1); return 3; }";
    const CPP: &str = "#include <iostream>\n#include <map>\nint main() { std::map<int, int> m; std::cin >> m[0]; std::cout << m[0] + 1 << '\\n'; return 3; }";
    const LOOP: &str = "int main() { volatile int x = 0; for (;;) x = x + 1; }";
    let sandbox = Sandbox::start(&SandboxConfig::default())?;
    let doctor = sandbox.doctor();
    let limits = Limits { cpu_time: Duration::from_millis(200), ..Limits::DEFAULT };
    for (name, source) in [("c-wasi", C), ("cpp-wasi", CPP)] {
        let language = Language::from_name(name).ok_or("no such language")?;
        let state = doctor.languages.iter().find(|state| state.language == language).ok_or("not examined")?;
        if !state.ok {
            assert!(state.hint.contains("install") && state.hint.contains("wasi-libc"), "{}", state.hint);
            println!("{name}: nothing to run: {}", state.hint);
            continue;
        }
        for (source, expected, stdout) in
            [(source, Termination::Exited(3), "42\n"), (LOOP, Termination::CpuTimeLimit, "")]
        {
            let prepared = sandbox.prepare(&Program::new(language, source), &Limits::COMPILE)?;
            let Prepared::Ready(executable) = prepared else { panic!("{name}: {prepared:?}") };
            let [first, second] = [0, 1].map(|_| sandbox.run(&executable, b"41", &limits).expect("run"));
            assert_eq!(
                (first.termination, &first.stdout[..]),
                (expected, stdout.as_bytes()),
                "{name}: {first:?}"
            );
            assert_eq!(first.usage.fuel, second.usage.fuel, "{name}");
        }
        let refused =
            sandbox.prepare(&Program::new(language, "int main() { return x; }"), &Limits::COMPILE)?;
        assert!(matches!(refused, Prepared::Refused(Outcome { refused: true, .. })), "{name}: {refused:?}");
        let without = self::sandbox().prepare(&Program::new(language, source), &Limits::COMPILE);
        assert!(matches!(without, Err(SandboxError::Unavailable(_))), "{name}: {without:?}");
    }
    Ok(())
}

/// CPython as a module, in the tier without walls. Where none is configured there is nothing to run.
fn python_runs_where_it_is_configured() -> Result {
    const DRAWN: &str = "import os, random, time, uuid\nprint(random.random(), os.urandom(4), time.time(), uuid.uuid4(), \
                         hash('x'), id(object()), {'a', 'b', 'c'}, input())";
    let cache = tempfile::tempdir()?;
    let kept = SandboxConfig { cache: Some(cache.path().into()), ..config() };
    let sandbox = Sandbox::start(&kept)?;
    let language = Language::from_name("python-wasi").ok_or("no such language")?;
    let limits = Limits { cpu_time: Duration::from_secs(1), ..Limits::DEFAULT };
    let go = |source: &str, stdin: &str| -> std::result::Result<Outcome, SandboxError> {
        Ok(match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE)? {
            Prepared::Ready(executable) => sandbox.run(&executable, stdin.as_bytes(), &limits)?,
            Prepared::Refused(outcome) => outcome,
        })
    };
    if let Err(SandboxError::Unavailable(why)) = go("", "") {
        assert!(std::env::var_os("ASSAY_PYTHON_WASM").is_none(), "{why}");
        println!("python-wasi: nothing to run: {why}");
        return Ok(());
    }
    // Source, end, whether it was refused, stdout (* for any), the end of stderr.
    let rows = [
        ("print(input()[::-1])", Termination::Exited(0), false, "tupni\n", ""),
        ("import sys; sys.exit(7)", Termination::Exited(7), false, "", ""),
        (
            "import sys; print(sys.argv, __name__, __file__)",
            Termination::Exited(0),
            false,
            "['/box/main.py'] __main__ /box/main.py\n",
            "",
        ),
        (
            "1 // 0",
            Termination::Exited(1),
            false,
            "",
            "ZeroDivisionError: integer division or modulo by zero\n",
        ),
        (
            "print(1)\n(",
            Termination::Exited(1),
            true,
            "",
            "  File \"/box/main.py\", line 2\n    (\n    ^\nSyntaxError: '(' was never closed\n",
        ),
        ("x = '\\N{}'", Termination::Exited(1), true, "", "malformed \\N character escape\n"),
        ("# coding: nothing\n", Termination::Exited(1), true, "", "SyntaxError: unknown encoding: nothing\n"),
        // What a program says of itself is not believed.
        (
            "import sys; print('SyntaxError: invalid', file=sys.stderr); sys.exit(1)",
            Termination::Exited(1),
            false,
            "",
            "SyntaxError: invalid\n",
        ),
        (
            "compile('(', 'main.py', 'exec')",
            Termination::Exited(1),
            false,
            "",
            "SyntaxError: '(' was never closed\n",
        ),
        ("while True: pass", Termination::CpuTimeLimit, false, "", ""),
        ("x = 'x'\nwhile True: x += x", Termination::MemoryLimit, false, "", "MemoryError\n"),
        ("while True: print('x' * 1000)", Termination::OutputLimit, false, "*", ""),
        ("import time; time.sleep(60)", Termination::WallTimeLimit, false, "", ""),
        (
            "def f(): f()\nf()",
            Termination::Exited(1),
            false,
            "",
            "RecursionError: maximum recursion depth exceeded\n",
        ),
        (
            "import os; print(os.listdir('/box'), open('main.py').read() == open('/box/main.py').read())",
            Termination::Exited(0),
            false,
            "['main.py'] True\n",
            "",
        ),
        (
            "open('/etc/passwd')",
            Termination::Exited(1),
            false,
            "",
            "No such file or directory: '/etc/passwd'\n",
        ),
        (
            "open('/box/main.py', 'a')",
            Termination::Exited(1),
            false,
            "",
            "Read-only file system: '/box/main.py'\n",
        ),
        (
            "import threading; threading.Thread(target=print).start()",
            Termination::Exited(1),
            false,
            "",
            "can't start new thread\n",
        ),
        (
            "import json, decimal, itertools, re, math; print(json.dumps([1.5]), decimal.Decimal('0.1') * 3, math.comb(40, 20))",
            Termination::Exited(0),
            false,
            "[1.5] 0.3 137846528820\n",
            "",
        ),
    ];
    for (source, termination, refused, stdout, stderr) in rows {
        let limits = Limits { output: 1 << 20, ..limits.clone() };
        let outcome = match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE)? {
            Prepared::Ready(executable) => sandbox.run(&executable, b"input", &limits)?,
            Prepared::Refused(outcome) => outcome,
        };
        let [said, complained] =
            [&outcome.stdout, &outcome.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert_eq!(
            (outcome.termination, outcome.refused),
            (termination, refused),
            "{source}: {said}{complained}"
        );
        assert!(stdout == "*" || said == stdout, "{source}: {said}");
        assert!(complained.ends_with(stderr), "{source}: {complained}");
    }
    // Nothing that a program can see differs between two runs, to the unit of fuel.
    let first = go(DRAWN, "1")?;
    assert_eq!(first.termination, Termination::Exited(0), "{first:?}");
    for _ in 0..4 {
        let again = go(DRAWN, "1")?;
        assert_eq!((again.usage.fuel, &again.stdout), (first.usage.fuel, &first.stdout));
    }
    // Another sandbox has the machine code that this one left.
    let other = Sandbox::start(&kept)?;
    let Prepared::Ready(executable) = other.prepare(&Program::new(language, DRAWN), &Limits::COMPILE)? else {
        panic!("refused")
    };
    let again = other.run(&executable, b"1", &limits)?;
    assert_eq!((again.usage.fuel, &again.stdout), (first.usage.fuel, &first.stdout));
    assert_eq!(cache.path().join("modules").read_dir()?.count(), 1);
    assert_ne!(go(DRAWN, "2")?.stdout.get(..8), first.stdout.get(..8), "other input, other random numbers");
    Ok(())
}

/// The message is the same for whoever prepares a program and in doctor.
fn a_python_that_is_none_is_refused_with_what_to_do() -> Result {
    let language = Language::from_name("python-wasi").ok_or("no such language")?;
    for (file, said) in
        [("/no/python.wasm", "install CPython built for WASI"), ("/bin/true", "must begin with \\0asm")]
    {
        let sandbox = Sandbox::start(&SandboxConfig { python_wasm: Some(file.into()), ..config() })?;
        for _ in 0..2 {
            let refused = sandbox.prepare(&Program::new(language, ""), &Limits::COMPILE);
            let Err(SandboxError::Unavailable(why)) = refused else { panic!("{refused:?}") };
            assert!(why.contains(file) && why.contains(said), "{why}");
        }
        let states = sandbox.doctor().languages;
        let state = states.iter().find(|state| state.language == language).ok_or("not examined")?;
        assert!(!state.ok && state.hint.contains(said), "{state:?}");
    }
    Ok(())
}
