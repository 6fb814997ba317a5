//! Checkers and interactive runs: a judge's program beside a program under test. What each is shown, what neither may
//! see of the other, and how the two end.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use assay_sandbox::Side::{self, Judge as JudgeSide, Solution};
use assay_sandbox::Termination::{
    self, CpuTimeLimit, Exited, ForbiddenSyscall, MemoryLimit, OutputLimit, Signaled, WallTimeLimit,
};
use assay_sandbox::{
    Executable, InputFile, Interaction, Judge, Language, Limits, Outcome, Prepared, Program, Sandbox,
    SandboxConfig, SandboxError,
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
    let mut trials: Vec<Trial> = TALKS.iter().map(|row| talk_trial(&shared, row)).collect();
    trials.extend(CHECKS.iter().map(|(name, check)| {
        let shared = Arc::clone(&shared);
        Trial::test(*name, move || {
            check(sandbox(&shared));
            Ok(())
        })
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
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
    ("a_module_reads_files_of_any_size_exactly", wasm_files),
    ("random_numbers_repeat_for_the_same_files", checkers_repeat),
    ("guess_the_number", guess_the_number),
    ("a_transcript_is_what_was_said", transcripts),
    ("a_transcript_is_cut_where_it_was_asked_to", transcripts_cut),
    ("ten_thousand_round_trips", round_trips),
    ("a_solution_sees_nothing_of_the_judges", secrets),
    ("interactive_runs_share_few_slots", few_slots),
    ("what_cannot_take_part_is_refused", interactions_refused),
    ("runs_of_all_kinds_share_one_slot_of_each", one_slot_of_each),
];

fn prepare(sandbox: &Sandbox, language: Language, source: impl Into<Vec<u8>>) -> Executable {
    match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => executable,
        Prepared::Refused(outcome) => panic!("refused: {}", text(&outcome.stderr)),
    }
}

/// A Python program, and where it can be the same under WASI.
fn pythons(sandbox: &Sandbox, source: &str) -> Vec<Executable> {
    let mut programs = vec![prepare(sandbox, Python3, source)];
    programs.extend(where_it_is(sandbox, "python-wasi", source));
    programs
}

/// A program of a language that not every machine has.
fn where_it_is(sandbox: &Sandbox, language: &str, source: &str) -> Option<Executable> {
    let language = Language::from_name(language).expect("a language");
    match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE) {
        Ok(Prepared::Ready(executable)) => Some(executable),
        missing => {
            println!("{language}: nothing to run: {missing:?}");
            None
        }
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

/// The same as a module.
const CHECKER_WAT: &str = include_str!("programs/checker.wat");

/// As Kattis's validators are called: the output in question on stdin, exit code 42 or 43.
const CHECKER_PYTHON: &str = "
import sys
n, answer = int(open(sys.argv[1]).read()), int(open('/box/' + sys.argv[2]).read())
given = sys.stdin.read().split()
print('judged', n)
sys.exit(42 if given == [str(answer)] else 43)
";

fn checkers(sandbox: &Sandbox) {
    let mut checkers = vec![
        prepare(sandbox, Cpp17, CHECKER_CPP),
        prepare(sandbox, Language::Wasm, wat::parse_str(CHECKER_WAT).expect("a module")),
    ];
    checkers.extend(where_it_is(sandbox, "cpp-wasi", CHECKER_CPP));
    for checker in &checkers {
        for (output, code, why) in [
            ("49", 0, ""),
            ("49\n\n", 0, ""),
            ("50", 1, "for 7: 50, wanted 49\n"),
            ("", 2, "no number\n"),
            ("x", 2, "no number\n"),
        ] {
            let files = [file("input", b"7"), file("output", output.as_bytes()), file("answer", b"49")];
            for args in [["input", "output", "answer"], ["/box/input", "./output", "/box/./answer"]] {
                let outcome = check(sandbox, checker, &args, &files);
                let end = (outcome.termination, text(&outcome.stderr));
                assert_eq!(end, (Exited(code), why.into()), "{} {output:?}", checker.language());
            }
        }
        for files in [vec![], vec![file("input", b"7"), file("output", b"49")]] {
            let outcome = check(sandbox, checker, &["input", "output", "answer"], &files);
            assert_eq!(outcome.termination, Exited(3), "{} {files:?}", checker.language());
        }
    }
    for script in pythons(sandbox, CHECKER_PYTHON) {
        for (output, code) in [("49", 42), ("50", 43), ("", 43)] {
            let files = [file("1.in", b"7"), file("1.ans", b"49")];
            let args = &["1.in", "1.ans"];
            let judge = Judge { executable: &script, args, files: &files, limits: &Limits::DEFAULT };
            let outcome = sandbox.check(&judge, output.as_bytes()).expect("check");
            assert_eq!(outcome.termination, Exited(code), "{output:?}: {}", text(&outcome.stderr));
            assert_eq!(text(&outcome.stdout), "judged 7\n");
        }
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
    for script in pythons(sandbox, source) {
        let outcome = check(sandbox, &script, &[], &[file("answer", b"secret")]);
        let said = text(&outcome.stdout);
        // Under WASI there are no modes; some C libraries say that setting them went well.
        let said = if script.language() == Python3 { &said } else { said.trim_start_matches("done: mode\n") };
        assert_eq!(said, "secret ['answer', 'main.py']\n", "{}", text(&outcome.stderr));
    }
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

/// Sums the bytes of the file `output`, read by 64 KiB, and exits with 0 if that is what 64 MiB of ones give. A run's files
/// were copied once, for the store of the engine holds no reference; they are lent now.
fn wasm_files(sandbox: &Sandbox) {
    let source = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 2)
        (data (i32.const 0) "\00\00\01\00\00\00\01\00")
        (data (i32.const 16) "output")
        (func (export "_start") (local $sum i64) (local $at i32)
            (if (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 0) (i64.const 2)
                    (i64.const 0) (i32.const 0) (i32.const 8))
                (then (call $exit (i32.const 2))))
            (loop $more
                (drop (call $read (i32.load (i32.const 8)) (i32.const 0) (i32.const 1) (i32.const 12)))
                (local.set $at (i32.const 0))
                (if (i32.load (i32.const 12)) (then
                    (loop $word
                        (local.set $sum (i64.add (local.get $sum) (i64.load offset=65536 (local.get $at))))
                        (br_if $word (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8)))
                            (i32.load (i32.const 12)))))
                    (br $more))))
            (call $exit (i64.ne (local.get $sum) (i64.const 0x8080808080800000)))))"#;
    let module = prepare(sandbox, Language::Wasm, wat::parse_str(source).expect("a module"));
    let large = vec![1; 64 << 20];
    let files = [file("output", &large)];
    // Memory for the module alone; time for a byte a unit, and some two for every eight.
    let limits = Limits { memory: 4 << 20, ..Limits::DEFAULT };
    let judge = Judge { executable: &module, args: &[], files: &files, limits: &limits };
    let [first, second] = [0, 1].map(|_| sandbox.check(&judge, b"").expect("check"));
    assert_eq!((first.termination, first.usage.peak_memory), (Exited(0), 128 << 10), "{:?}", first.usage);
    assert!(first.usage.fuel > large.len() as u64);
    assert_eq!(first.usage.fuel, second.usage.fuel);
    let short = Limits { cpu_time: Duration::from_millis(20), ..limits.clone() };
    let outcome = sandbox.check(&Judge { limits: &short, ..judge }, b"").expect("check");
    assert_eq!(outcome.termination, CpuTimeLimit, "reading is paid for");
}

/// A checker's own random numbers follow from what it is given, all of it.
fn checkers_repeat(sandbox: &Sandbox) {
    for script in pythons(sandbox, "import random; print(random.random())") {
        let draw =
            |args: &[&str], files: &[InputFile<'_>]| text(&check(sandbox, &script, args, files).stdout);
        let first = draw(&["x"], &[file("a", b"1")]);
        assert_eq!(first, draw(&["x"], &[file("a", b"1")]));
        assert_ne!(first, draw(&["y"], &[file("a", b"1")]));
        assert_ne!(first, draw(&["x"], &[file("a", b"2")]));
    }
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
                            prepare(sandbox, Cpp17, format!("int main() {{ return {round}; }}"));
                            continue;
                        }
                    };
                    assert_eq!(text(&outcome.stdout), "1\n");
                }
            });
        }
    });
}

/// Two programs, what changes in their limits, how they end and who of them first.
struct Talk {
    name: &'static str,
    solution: (Language, &'static str),
    judge: (Language, &'static str),
    /// The solution's and the judge's.
    limits: fn(&mut Limits, &mut Limits),
    solution_ends: Termination,
    judge_ends: Termination,
    /// `None` where both end at the same moment, each for reasons of its own.
    first: Option<Side>,
}

/// For each side what is the same in many of these.
const PRELUDE: &str = "
import os, sys, time
def say(*words): print(*words, flush=True)
def hear(): return sys.stdin.readline()
def write(data):
    while data: data = data[os.write(1, data):]
def read_all():
    pieces = []
    while piece := os.read(0, 1 << 16): pieces.append(piece)
    return b''.join(pieces)
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
";

/// A judge that waits for the end of its input, and says that it came.
const WAITS: &str = "sys.exit(9 if hear() == '' else 8)";

fn brief(limits: &mut Limits, judge: &mut Limits) {
    limits.wall_time = Duration::from_millis(400);
    judge.wall_time = Duration::from_millis(400);
}

fn usual(_: &mut Limits, _: &mut Limits) {}

#[rustfmt::skip]
const TALKS: &[Talk] = &[
    Talk { name: "judge_ends_first", solution: (Python3, "say('1'); sys.exit(6 if hear() == '' else 7)"),
        judge: (Python3, "sys.exit(5 if hear() == '1\\n' else 4)"), limits: usual,
        solution_ends: Exited(6), judge_ends: Exited(5), first: Some(JudgeSide) },
    Talk { name: "solution_ends_first", solution: (Python3, "say('1'); sys.exit(3)"),
        judge: (Python3, "sys.exit(5 if (hear(), hear()) == ('1\\n', '') else 4)"), limits: usual,
        solution_ends: Exited(3), judge_ends: Exited(5), first: Some(Solution) },
    Talk { name: "an_unflushed_answer_comes_at_the_end", solution: (Python3, "print('1')"),
        judge: (Python3, "sys.exit(5 if (hear(), hear()) == ('1\\n', '') else 4)"), limits: usual,
        solution_ends: Exited(0), judge_ends: Exited(5), first: Some(Solution) },
    Talk { name: "last_words_arrive", solution: (Python3, "sys.exit(0 if len(read_all()) == 5 << 20 else 1)"),
        judge: (Python3, "write(b'x' * (5 << 20))"), limits: usual,
        solution_ends: Exited(0), judge_ends: Exited(0), first: Some(JudgeSide) },

    // The two of a deadlock are not told apart: the solution is ended, the judge gets its say.
    Talk { name: "both_wait", solution: (Python3, "hear()"), judge: (Python3, WAITS), limits: brief,
        solution_ends: WallTimeLimit, judge_ends: Exited(9), first: Some(Solution) },
    Talk { name: "both_wait_native", solution: (Cpp17, "#include <cstdio>\nint main() { return getchar() == EOF ? 0 : 1; }"),
        judge: (Cpp17, "#include <cstdio>\nint main() { return getchar() == EOF ? 9 : 8; }"),
        // The smaller the CPU limit, the more often the clocks are looked at.
        limits: |solution, judge| { brief(solution, judge); judge.cpu_time = Duration::from_millis(20); },
        solution_ends: WallTimeLimit, judge_ends: Exited(9), first: Some(Solution) },
    Talk { name: "an_answer_is_not_flushed", solution: (Python3, "print(hear()); hear()"),
        judge: (Python3, "say('1'); sys.exit(9 if hear() == '' else 8)"), limits: brief,
        solution_ends: WallTimeLimit, judge_ends: Exited(9), first: Some(Solution) },
    Talk { name: "solution_sleeps", solution: (Python3, "time.sleep(60)"), judge: (Python3, WAITS), limits: brief,
        solution_ends: WallTimeLimit, judge_ends: Exited(9), first: Some(Solution) },
    Talk { name: "judge_sleeps_over_its_own_limit", solution: (Python3, "sys.exit(4 if hear() == '' else 3)"),
        judge: (Python3, "time.sleep(60)"), limits: |_, judge| judge.wall_time = Duration::from_millis(400),
        solution_ends: Exited(4), judge_ends: WallTimeLimit, first: Some(JudgeSide) },
    Talk { name: "judge_sleeps_on_after_the_solutions_end", solution: (Python3, ""),
        judge: (Python3, "hear(); time.sleep(60)"), limits: brief,
        solution_ends: Exited(0), judge_ends: WallTimeLimit, first: Some(Solution) },
    Talk { name: "judge_has_its_idle_time_anew", solution: (Python3, "time.sleep(60)"),
        judge: (Python3, "hear(); time.sleep(0.3); sys.exit(9)"), limits: brief,
        solution_ends: WallTimeLimit, judge_ends: Exited(9), first: Some(Solution) },

    // Who computes keeps nobody idle. Where no control group counts, a program that had ended just before its clocks were
    // looked at seemed to have slept all the time; on a busy machine that became a time limit.
    Talk { name: "a_slow_judge_is_waited_for", solution: (Python3, "sys.exit(0 if hear() == '1\\n' else 1)"),
        judge: (Python3, "burn(1.2); say('1')"), limits: brief,
        solution_ends: Exited(0), judge_ends: Exited(0), first: None },
    Talk { name: "a_slow_solution_is_waited_for", solution: (Python3, "burn(1.2); say('1')"),
        judge: (Python3, "sys.exit(0 if hear() == '1\\n' else 1)"), limits: brief,
        solution_ends: Exited(0), judge_ends: Exited(0), first: None },

    Talk { name: "solution_floods", solution: (Python3, "while True: print('x' * 9999)"),
        judge: (Python3, "hear(); hear(); time.sleep(0.2); sys.exit(9 if len(read_all()) < 1 << 20 else 8)"),
        limits: |solution, _| solution.output = 1 << 20,
        solution_ends: OutputLimit, judge_ends: Exited(9), first: Some(Solution) },
    Talk { name: "judge_floods_one_that_is_gone", solution: (Python3, "hear()"),
        judge: (Python3, "say('go'); read_all()\nwhile True: print('x' * 9999)"), limits: |_, judge| judge.output = 4 << 20,
        solution_ends: Exited(0), judge_ends: OutputLimit, first: Some(Solution) },
    Talk { name: "solution_floods_its_stderr", solution: (Python3, "while True: sys.stderr.write('x' * 9999)"),
        judge: (Python3, WAITS), limits: |solution, _| solution.output = 1 << 20,
        solution_ends: OutputLimit, judge_ends: Exited(9), first: Some(Solution) },

    Talk { name: "solution_crashes", solution: (Cpp17, "int main() { volatile int *p = 0; *p = 1; }"),
        judge: (Python3, WAITS), limits: usual,
        solution_ends: Signaled(11), judge_ends: Exited(9), first: Some(Solution) },
    Talk { name: "judge_crashes", solution: (Python3, "sys.exit(4 if hear() == '' else 3)"),
        judge: (Python3, "os.abort()"), limits: usual,
        solution_ends: Exited(4), judge_ends: Signaled(6), first: Some(JudgeSide) },
    Talk { name: "solution_computes_for_ever", solution: (Python3, "while True: pass"), judge: (Python3, WAITS),
        limits: |solution, _| solution.cpu_time = Duration::from_millis(300),
        solution_ends: CpuTimeLimit, judge_ends: Exited(9), first: Some(Solution) },
    Talk { name: "judge_computes_for_ever", solution: (Python3, "sys.exit(4 if hear() == '' else 3)"),
        judge: (Python3, "while True: pass"), limits: |_, judge| judge.cpu_time = Duration::from_millis(300),
        solution_ends: Exited(4), judge_ends: CpuTimeLimit, first: Some(JudgeSide) },
    Talk { name: "solution_takes_all_memory", solution: (Python3, "x = []\nwhile True: x.append(b'x' * (1 << 26))"),
        judge: (Python3, WAITS), limits: usual,
        solution_ends: MemoryLimit, judge_ends: Exited(9), first: Some(Solution) },
    Talk { name: "solution_does_what_is_forbidden",
        solution: (Python3, "import ctypes; ctypes.CDLL(None).syscall(101, 0, 0, 0, 0)"), judge: (Python3, WAITS),
        limits: usual, solution_ends: ForbiddenSyscall, judge_ends: Exited(9), first: Some(Solution) },

    // Over plain pipes each would wait for the other to read.
    Talk { name: "huge_messages_both_ways_at_once",
        solution: (Python3, "write(b'x' * (9 << 20)); os.close(1); sys.exit(0 if len(read_all()) == 9 << 20 else 1)"),
        judge: (Python3, "write(b'y' * (9 << 20)); os.close(1); sys.exit(0 if len(read_all()) == 9 << 20 else 1)"),
        limits: usual, solution_ends: Exited(0), judge_ends: Exited(0), first: None },
    Talk { name: "stdout_closed_and_still_reading",
        solution: (Python3, "say('1'); os.close(1); sys.exit(0 if (hear(), hear()) == ('2\\n', '') else 1)"),
        judge: (Python3, "assert (hear(), hear()) == ('1\\n', ''); say('2')"), limits: usual,
        solution_ends: Exited(0), judge_ends: Exited(0), first: None },
    // No SIGPIPE: else luck would decide whether these end well.
    Talk { name: "what_one_that_is_gone_does_not_read_is_dropped",
        solution: (Python3, "assert hear() == ''; write(b'x' * (2 << 20)); sys.exit(7)"), judge: (Python3, "sys.exit(5)"),
        limits: usual, solution_ends: Exited(7), judge_ends: Exited(5), first: Some(JudgeSide) },
    Talk { name: "what_one_that_closed_its_input_does_not_read_is_dropped",
        solution: (Python3, "hear(); write(b'x' * (2 << 20)); say(''); sys.exit(7 if hear() == '2\\n' else 8)"),
        judge: (Python3, "os.close(0); say('1'); time.sleep(0.3); say('2'); sys.exit(5)"),
        limits: usual, solution_ends: Exited(7), judge_ends: Exited(5), first: None },
    Talk { name: "a_source_that_is_refused", solution: (Python3, "print(1"), judge: (Python3, WAITS), limits: usual,
        solution_ends: Exited(1), judge_ends: Exited(9), first: Some(Solution) },
];

fn talk_trial(shared: &Shared, row: &'static Talk) -> Trial {
    let shared = Arc::clone(shared);
    Trial::test(row.name, move || {
        let sandbox = sandbox(&shared);
        let [solution, judge] = [row.solution, row.judge].map(|(language, source)| {
            let prelude = if language == Python3 { PRELUDE } else { "" };
            prepare(sandbox, language, format!("{prelude}{source}"))
        });
        let (mut limits, mut judge_limits) = (Limits::DEFAULT, Limits::DEFAULT);
        (row.limits)(&mut limits, &mut judge_limits);
        let judge = Judge { executable: &judge, args: &[], files: &[], limits: &judge_limits };
        let talk = sandbox.interact(&solution, &limits, &judge, 0).expect("interact");
        let first = row.first.and(Some(talk.first));
        let found = (talk.solution.termination, talk.judge.termination, first);
        if found == (row.solution_ends, row.judge_ends, row.first) {
            return Ok(());
        }
        Err(format!("{found:?}: {} {}", text(&talk.solution.stderr), text(&talk.judge.stderr)).into())
    })
}

fn interact(
    sandbox: &Sandbox,
    solution: &Executable,
    judge: &Executable,
    files: &[InputFile<'_>],
    transcript: usize,
) -> Interaction {
    let judge = Judge { executable: judge, args: &["secret"], files, limits: &Limits::DEFAULT };
    sandbox.interact(solution, &Limits::DEFAULT, &judge, transcript).expect("interact")
}

const GUESS_PYTHON: &str = "
low, high = 1, 1000
while True:
    guess = (low + high) // 2
    print(guess, flush=True)
    match input():
        case '=': break
        case '<': high = guess - 1
        case '>': low = guess + 1
";
const GUESS_CPP: &str = r#"
#include <iostream>
#include <string>
int main() {
    int low = 1, high = 1000;
    for (std::string answer; answer != "=";) {
        int guess = (low + high) / 2;
        std::cout << guess << std::endl;
        if (!(std::cin >> answer)) return 1;
        if (answer == "<") high = guess - 1; else low = guess + 1;
    }
}"#;
const HOST_PYTHON: &str = "
import sys
secret = int(open(sys.argv[1]).read())
for _ in range(10):
    guess = int(input())
    print('=' if guess == secret else '<' if secret < guess else '>', flush=True)
    if guess == secret: sys.exit(0)
print('too many', file=sys.stderr)
sys.exit(1)
";
const HOST_CPP: &str = r#"
#include <fstream>
#include <iostream>
int main(int, char **argv) {
    int secret, guess;
    if (!(std::ifstream(argv[1]) >> secret)) return 3;
    for (int round = 0; round < 10 && std::cin >> guess; round++) {
        std::cout << (guess == secret ? "=" : secret < guess ? "<" : ">") << std::endl;
        if (guess == secret) return 0;
    }
    std::cerr << "too many\n";
    return 1;
}"#;

fn guess_the_number(sandbox: &Sandbox) {
    let one_by_one =
        "for guess in range(1, 1000):\n    print(guess, flush=True)\n    if input() == '=': break";
    let hosts = [(Python3, HOST_PYTHON), (Cpp17, HOST_CPP)].map(|(l, source)| prepare(sandbox, l, source));
    let [python, cpp, slow] = [(Python3, GUESS_PYTHON), (Cpp17, GUESS_CPP), (Python3, one_by_one)]
        .map(|(language, source)| prepare(sandbox, language, source));
    for host in &hosts {
        for guesser in [&python, &cpp] {
            for secret in ["1", "500", "777", "1000"] {
                let talk = interact(sandbox, guesser, host, &[file("secret", secret.as_bytes())], 0);
                let ends = (talk.solution.termination, talk.judge.termination);
                assert_eq!(ends, (Exited(0), Exited(0)), "{secret}: {}", text(&talk.judge.stderr));
            }
        }
        let talk = interact(sandbox, &slow, host, &[file("secret", b"777")], 0);
        assert_eq!((talk.judge.termination, text(&talk.judge.stderr).as_str()), (Exited(1), "too many\n"));
        // It was waiting for an answer that did not come.
        assert_eq!((talk.solution.termination, talk.first), (Exited(1), JudgeSide));
    }
}

fn transcripts(sandbox: &Sandbox) {
    let (guesser, host) = (prepare(sandbox, Cpp17, GUESS_CPP), prepare(sandbox, Python3, HOST_PYTHON));
    let talk = interact(sandbox, &guesser, &host, &[file("secret", b"625")], 1 << 16);
    let said: Vec<(Side, String)> =
        talk.transcript.messages.iter().map(|message| (message.from, text(&message.bytes))).collect();
    let expected: Vec<(Side, String)> = [("500", ">"), ("750", "<"), ("625", "=")]
        .into_iter()
        .flat_map(|(guess, answer)| [(Solution, format!("{guess}\n")), (JudgeSide, format!("{answer}\n"))])
        .collect();
    assert_eq!((said, talk.transcript.cut), (expected, false));
    assert!(talk.solution.stdout.is_empty() && talk.judge.stdout.is_empty());
}

fn transcripts_cut(sandbox: &Sandbox) {
    let solution = prepare(sandbox, Python3, "print('x' * 200_000)");
    let judge = prepare(sandbox, Python3, "import sys; sys.stdin.read()");
    for (room, cut) in [(0, true), (7, true), (200_000, true), (200_001, false)] {
        let transcript = interact(sandbox, &solution, &judge, &[], room).transcript;
        let kept: usize = transcript.messages.iter().map(|message| message.bytes.len()).sum();
        assert_eq!((kept, transcript.cut), (room, cut));
    }
}

/// That many small messages cost little, and little of it is idle time. Prints what a round trip takes.
fn round_trips(sandbox: &Sandbox) {
    const TRIPS: u32 = 10_000;
    let python = "import sys\nfor _ in range(10_000): print(1, flush=True); sys.stdin.readline()";
    let python_judge = "import sys\nfor line in sys.stdin: print(2, flush=True)";
    let cpp = "#include <cstdio>\nint main() { for (int i = 0, x; i < 10000; i++) { puts(\"1\"); fflush(stdout); if (scanf(\"%d\", &x) != 1) return 1; } }";
    let cpp_judge = "#include <cstdio>\nint main() { int x; while (scanf(\"%d\", &x) == 1) { puts(\"2\"); fflush(stdout); } }";
    for (language, solution, judge) in [(Python3, python, python_judge), (Cpp17, cpp, cpp_judge)] {
        let (solution, judge) = (prepare(sandbox, language, solution), prepare(sandbox, language, judge));
        let limits = Limits { cpu_time: Duration::from_secs(10), ..Limits::DEFAULT };
        let judge = Judge { executable: &judge, args: &[], files: &[], limits: &limits };
        let talk = sandbox.interact(&solution, &limits, &judge, 1 << 20).expect("interact");
        assert_eq!((talk.solution.termination, talk.judge.termination), (Exited(0), Exited(0)));
        assert_eq!(talk.transcript.messages.len() as u32, 2 * TRIPS);
        let (solution, judge) = (talk.solution.usage, talk.judge.usage);
        println!(
            "{}: a round trip takes {:?}, CPU {:?} and {:?}",
            language.name(),
            solution.wall_time / TRIPS,
            solution.cpu_time / TRIPS,
            judge.cpu_time / TRIPS
        );
    }
}

/// The judge waits for the solution's report, so its files are there while the solution looks for them.
fn secrets(_: &Sandbox) {
    let sandbox =
        &Sandbox::start(&SandboxConfig { slots: 1, ..SandboxConfig::default() }).expect("a sandbox");
    let search = "
import os, sys
found = []
for directory in ['/box', '/tmp', '/dev', '/dev/fd', '/dev/shm', '/proc', '/proc/self', '/proc/1', '/']:
    try: found += [name for name in os.listdir(directory) if 'secret' in name]
    except OSError: pass
for name in ['secret', '/box/secret', '/proc/1/cwd/secret', '/proc/2/cwd/secret', '/proc/self/cwd/secret']:
    if os.path.exists(name): found.append(name)
for number in range(3, 64):
    try: found.append(os.read(number, 9))
    except OSError: pass
print(sorted(os.listdir('/box')), sys.argv, found, flush=True)
";
    let judge = "
import os, sys
print(open('/box/secret').read(), sorted(os.listdir('/box')), file=sys.stderr)
print(input(), file=sys.stderr)
";
    let (search, judge) = (prepare(sandbox, Python3, search), prepare(sandbox, Python3, judge));
    for _ in 0..2 {
        let talk = interact(sandbox, &search, &judge, &[file("secret", b"1234")], 0);
        let seen = "1234 ['main.py', 'secret']\n['main.py'] ['main.py'] []\n";
        assert_eq!(text(&talk.judge.stderr), seen, "{}", text(&talk.solution.stderr));
        let alone = sandbox.run(&search, b"", &Limits::DEFAULT).expect("run");
        assert_eq!(text(&alone.stdout), "['main.py'] ['main.py'] []\n");
        let checker = check(sandbox, &search, &[], &[]);
        assert_eq!(text(&checker.stdout), "['main.py'] ['main.py'] []\n", "the slot that had the files");
    }
}

/// Each takes two slots; there are as many for judges as for solutions, so nobody waits for ever with one in hand.
fn few_slots(_: &Sandbox) {
    for slots in [1, 2] {
        let sandbox =
            &Sandbox::start(&SandboxConfig { slots, ..SandboxConfig::default() }).expect("a sandbox");
        let (guesser, host) =
            (&prepare(sandbox, Python3, GUESS_PYTHON), &prepare(sandbox, Python3, HOST_PYTHON));
        std::thread::scope(|scope| {
            for worker in 0..4u32 {
                scope.spawn(move || {
                    for round in 0..5 {
                        let secret = (worker * 200 + round * 31 + 1).to_string();
                        let files = [file("secret", secret.as_bytes())];
                        let talk = interact(sandbox, guesser, host, &files, 0);
                        let ends = (talk.solution.termination, talk.judge.termination);
                        assert_eq!(ends, (Exited(0), Exited(0)), "{}", text(&talk.judge.stderr));
                        check(sandbox, guesser, &[], &[]);
                        sandbox.run(guesser, b"=\n", &Limits::DEFAULT).expect("run");
                    }
                });
            }
        });
    }
}

fn interactions_refused(sandbox: &Sandbox) {
    let script = prepare(sandbox, Python3, "pass");
    // (module (func (export "_start")))
    let smallest: &[u8] =
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";
    let module = prepare(sandbox, Language::Wasm, smallest);
    let none: &[InputFile<'_>] = &[];
    let judge = Judge { executable: &script, args: &[], files: none, limits: &Limits::DEFAULT };
    let absurd = Limits { processes: 0, ..Limits::DEFAULT };
    for (solution, limits, judge, part) in [
        (&script, &Limits::DEFAULT, Judge { files: &[file("a/b", b"")], ..judge }, "name"),
        (&script, &absurd, judge, "processes"),
        (&script, &Limits::DEFAULT, Judge { limits: &absurd, ..judge }, "processes"),
        (&script, &Limits::DEFAULT, Judge { executable: &module, ..judge }, "WebAssembly"),
        (&module, &Limits::DEFAULT, judge, "WebAssembly"),
    ] {
        match sandbox.interact(solution, limits, &judge, 0) {
            Err(SandboxError::Invalid(text)) => assert!(text.contains(part), "{text}"),
            other => panic!("{part}: {other:?}"),
        }
    }
}
