//! Checkers and interactive runs: a judge's program beside a program under test. What each is shown, what neither may
//! see of the other, and how the two end.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use assay_sandbox::Termination::{Exited, MemoryLimit};
use assay_sandbox::{
    Executable, InputFile, Judge, Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxConfig,
    SandboxError,
};
use libtest_mimic::{Arguments, Trial};

#[expect(non_upper_case_globals, reason = "as the tables read best")]
const Python3: Language = Language::Python3;
#[expect(non_upper_case_globals, reason = "as the tables read best")]
const Cpp17: Language = Language::Cpp17;

fn main() {
    assay_sandbox::init();
    let arguments = Arguments::from_args();
    // Started by the first test that needs it: listing tests starts nothing.
    let shared: Shared = Arc::default();
    let trials = CHECKS.iter().map(|(name, check)| {
        let shared = Arc::clone(&shared);
        Trial::test(*name, move || {
            check(sandbox(&shared));
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    drop(shared);
    conclusion.exit();
}

type Shared = Arc<OnceLock<Sandbox>>;
type Check = fn(&Sandbox);

fn sandbox(shared: &Shared) -> &Sandbox {
    let config = SandboxConfig { slots: 2, ..SandboxConfig::default() };
    shared.get_or_init(|| Sandbox::start(&config).expect("a sandbox"))
}

const CHECKS: &[(&str, Check)] = &[
    ("checkers_read_files_and_exit_with_a_code", checkers),
    ("files_are_for_reading_only", files_read_only),
    ("files_are_gone_after_the_run", files_gone),
    ("a_source_is_gone_after_the_run", source_gone),
    ("files_are_not_the_programs_memory", files_are_not_charged),
    ("what_cannot_be_shown_is_refused", files_refused),
    ("random_numbers_repeat_for_the_same_files", checkers_repeat),
    ("runs_of_all_kinds_share_one_slot_of_each", one_slot_of_each),
];

fn prepare(sandbox: &Sandbox, language: Language, source: &str) -> Executable {
    match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => executable,
        Prepared::Refused(outcome) => panic!("refused: {}", text(&outcome.stderr)),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn file<'a>(name: &'a str, bytes: &'a [u8]) -> InputFile<'a> {
    InputFile { name, bytes }
}

fn check(sandbox: &Sandbox, executable: &Executable, args: &[&str], files: &[InputFile<'_>]) -> Outcome {
    let judge = Judge { executable, args, files, limits: &Limits::DEFAULT };
    sandbox.check(&judge, b"").expect("check")
}

/// As testlib's checkers are called: input, output, answer; 0 right, 1 wrong, a line of why on stderr.
const CHECKER_CPP: &str = r#"
#include <fstream>
#include <iostream>
int main(int argc, char **argv) {
    if (argc != 4) return 3;
    std::ifstream input(argv[1]), output(argv[2]), answer(argv[3]);
    long n, given, wanted;
    if (!(input >> n) || !(answer >> wanted)) return 3;
    if (!(output >> given)) { std::cerr << "no number\n"; return 2; }
    if (given != wanted) { std::cerr << "for " << n << ": " << given << ", wanted " << wanted << "\n"; return 1; }
    // Again from the start: a file is no pipe.
    answer.seekg(0);
    return answer >> wanted && wanted == given ? 0 : 3;
}"#;

/// As Kattis's validators are called: the output in question on stdin, exit code 42 or 43.
const CHECKER_PYTHON: &str = "
import sys
n, answer = int(open(sys.argv[1]).read()), int(open('/box/' + sys.argv[2]).read())
given = sys.stdin.read().split()
print('judged', n)
sys.exit(42 if given == [str(answer)] else 43)
";

fn checkers(sandbox: &Sandbox) {
    let native = prepare(sandbox, Cpp17, CHECKER_CPP);
    for (output, code, why) in [
        ("49", 0, ""),
        ("49\n\n", 0, ""),
        ("50", 1, "for 7: 50, wanted 49\n"),
        ("", 2, "no number\n"),
        ("x", 2, "no number\n"),
    ] {
        let files = [file("input", b"7"), file("output", output.as_bytes()), file("answer", b"49")];
        let outcome = check(sandbox, &native, &["input", "output", "answer"], &files);
        assert_eq!((outcome.termination, text(&outcome.stderr).as_str()), (Exited(code), why), "{output:?}");
    }
    let script = prepare(sandbox, Python3, CHECKER_PYTHON);
    for (output, code) in [("49", 42), ("50", 43), ("", 43)] {
        let files = [file("1.in", b"7"), file("1.ans", b"49")];
        let judge =
            Judge { executable: &script, args: &["1.in", "1.ans"], files: &files, limits: &Limits::DEFAULT };
        let outcome = sandbox.check(&judge, output.as_bytes()).expect("check");
        assert_eq!(outcome.termination, Exited(code), "{output:?}: {}", text(&outcome.stderr));
        assert_eq!(text(&outcome.stdout), "judged 7\n");
    }
}

fn files_read_only(sandbox: &Sandbox) {
    let source = "
import os
for name, attempt in [
    ('write', lambda: open('answer', 'w')), ('append', lambda: open('answer', 'ab')),
    ('unlink', lambda: os.unlink('answer')), ('rename', lambda: os.rename('answer', 'other')),
    ('mode', lambda: os.chmod('answer', 0o666)), ('truncate', lambda: os.truncate('answer', 0)),
    ('new', lambda: open('new', 'w')), ('link', lambda: os.link('answer', 'other')),
]:
    try: attempt()
    except OSError: continue
    print('done:', name)
print(open('answer').read(), sorted(os.listdir('.')))
";
    let script = prepare(sandbox, Python3, source);
    let outcome = check(sandbox, &script, &[], &[file("answer", b"secret")]);
    assert_eq!(text(&outcome.stdout), "secret ['answer', 'main.py']\n", "{}", text(&outcome.stderr));
}

/// Prints all that lies in the box, and what it holds.
const LOOK_PYTHON: &str = "
import os
print([(name, len(open('/box/' + name).read())) for name in sorted(os.listdir('/box')) if name != 'main.py'])
for name in ['answer', '/box/answer', '/tmp/answer', '/answer']:
    if os.path.exists(name): print('found', name)
";
const LOOK_CPP: &str = r#"
#include <dirent.h>
#include <cstdio>
int main() {
    DIR *box = opendir("/box");
    while (dirent *entry = box ? readdir(box) : nullptr) if (entry->d_name[0] != '.') puts(entry->d_name);
    return box == nullptr;
}"#;

/// A slot serves one caller after the other, and what one was shown is not for the next.
fn files_gone(_: &Sandbox) {
    let sandbox =
        &Sandbox::start(&SandboxConfig { slots: 1, ..SandboxConfig::default() }).expect("a sandbox");
    let (look, look_native) = (prepare(sandbox, Python3, LOOK_PYTHON), prepare(sandbox, Cpp17, LOOK_CPP));
    let files = [file("answer", b"secret"), file("input", &[7; 1 << 20])];
    let ends = [
        "print(open('answer').read())",
        "raise SystemExit(3)",
        "import os; os.abort()",
        "keep = [open('answer')] * 9\nwhile True: pass",
        "import os\ntry: os.fork()\nexcept OSError: pass\nimport time\ntime.sleep(60)",
        "(",
    ];
    for source in ends {
        let script = prepare(sandbox, Python3, source);
        let limits = Limits {
            cpu_time: Duration::from_millis(300),
            wall_time: Duration::from_millis(300),
            ..Limits::DEFAULT
        };
        let judge = Judge { executable: &script, args: &[], files: &files, limits: &limits };
        sandbox.check(&judge, b"").expect("check");
        for outcome in
            [sandbox.run(&look, b"", &Limits::DEFAULT).expect("run"), check(sandbox, &look, &[], &[])]
        {
            assert_eq!(text(&outcome.stdout), "[]\n", "after {source:?}: {}", text(&outcome.stderr));
        }
        for outcome in [
            sandbox.run(&look_native, b"", &Limits::DEFAULT).expect("run"),
            check(sandbox, &look_native, &[], &[]),
        ] {
            assert_eq!(
                (outcome.termination, text(&outcome.stdout).as_str()),
                (Exited(0), ""),
                "after {source:?}"
            );
        }
    }
}

/// The source of a Python program stayed in the slot until the next one's was written over it, and a native program
/// that came between could read it: somebody else's solution, or a checker with the answers in it.
fn source_gone(_: &Sandbox) {
    let sandbox =
        &Sandbox::start(&SandboxConfig { slots: 1, ..SandboxConfig::default() }).expect("a sandbox");
    let native = prepare(sandbox, Cpp17, LOOK_CPP);
    let script = prepare(sandbox, Python3, "print('a secret of mine')");
    sandbox.run(&script, b"", &Limits::DEFAULT).expect("run");
    let outcome = sandbox.run(&native, b"", &Limits::DEFAULT).expect("run");
    assert_eq!((outcome.termination, text(&outcome.stdout).as_str()), (Exited(0), ""));
}

/// A checker with little memory reads much; what it keeps of that is its own.
fn files_are_not_charged(sandbox: &Sandbox) {
    let source = "
import os, sys
file, total, kept = os.open('output', os.O_RDONLY), 0, []
while block := os.read(file, 1 << 16):
    total += len(block)
    if sys.argv[1:] == ['keep']: kept.append(block)
print(total)
";
    let script = prepare(sandbox, Python3, source);
    let large = vec![b'x'; 64 << 20];
    let files = [file("output", &large)];
    let limits = Limits { memory: 32 << 20, ..Limits::DEFAULT };
    let judge = Judge { executable: &script, args: &[], files: &files, limits: &limits };
    let outcome = sandbox.check(&judge, b"").expect("check");
    assert_eq!((outcome.termination, text(&outcome.stdout).as_str()), (Exited(0), "67108864\n"));
    assert!(outcome.usage.peak_memory < 32 << 20, "{:?}", outcome.usage);
    let outcome = sandbox.check(&Judge { args: &["keep"], ..judge }, b"").expect("check");
    assert_eq!(outcome.termination, MemoryLimit, "{:?}", outcome.usage);
    // The slot is as it was: the same again.
    let outcome = sandbox.check(&judge, b"").expect("check");
    assert_eq!(outcome.termination, Exited(0), "{:?}", outcome.usage);
}

fn files_refused(sandbox: &Sandbox) {
    let script = prepare(sandbox, Python3, "pass");
    let none: &[InputFile<'_>] = &[];
    let judge = Judge { executable: &script, args: &[], files: none, limits: &Limits::DEFAULT };
    let absurd = Limits { memory: 0, ..Limits::DEFAULT };
    let long = "x".repeat(70 << 10);
    for (judge, part) in [
        (Judge { files: &[file("../etc", b"")], ..judge }, "name"),
        (Judge { files: &[file("main.py", b"")], ..judge }, "name"),
        (Judge { files: &[file("a", b""), file("a", b"")], ..judge }, "two files"),
        (Judge { files: &[file("a", b""); InputFile::MAX_FILES + 1], ..judge }, "files; at most"),
        (Judge { args: &["a\0b"], ..judge }, "NUL"),
        (Judge { args: &[&long], ..judge }, "arguments"),
        (Judge { limits: &absurd, ..judge }, "memory"),
    ] {
        match sandbox.check(&judge, b"") {
            Err(SandboxError::Invalid(text)) => assert!(text.contains(part), "{text}"),
            other => panic!("{part}: {other:?}"),
        }
    }
}

/// A checker's own random numbers follow from what it is given, all of it.
fn checkers_repeat(sandbox: &Sandbox) {
    let script = prepare(sandbox, Python3, "import random; print(random.random())");
    let draw = |args: &[&str], files: &[InputFile<'_>]| text(&check(sandbox, &script, args, files).stdout);
    let first = draw(&["x"], &[file("a", b"1")]);
    assert_eq!(first, draw(&["x"], &[file("a", b"1")]));
    assert_ne!(first, draw(&["y"], &[file("a", b"1")]));
    assert_ne!(first, draw(&["x"], &[file("a", b"2")]));
}

/// Callers that wait for slots of different roles were woken one at a time, and the wrong one went back to sleep with
/// the news: with one slot of each, all could end up waiting beside idle slots.
fn one_slot_of_each(_: &Sandbox) {
    let sandbox =
        &Sandbox::start(&SandboxConfig { slots: 1, ..SandboxConfig::default() }).expect("a sandbox");
    let script = &prepare(sandbox, Python3, "print(1)");
    std::thread::scope(|scope| {
        for worker in 0..9 {
            scope.spawn(move || {
                for round in 0..10 {
                    let outcome = match worker % 3 {
                        0 => sandbox.run(script, b"", &Limits::DEFAULT).expect("run"),
                        1 => check(sandbox, script, &[], &[file("a", b"1")]),
                        _ => {
                            prepare(sandbox, Cpp17, &format!("int main() {{ return {round}; }}"));
                            continue;
                        }
                    };
                    assert_eq!(text(&outcome.stdout), "1\n");
                }
            });
        }
    });
}
