//! Programs of the problem's author that decide, and tests that run in the program's own process.

mod common;

use assay_testsets::{Checker, JudgeProgram, Problem, Protocol, Task, TestCase, TestType};
use assay_verifier::{JudgeError, JudgeOptions, Judged, Submission, Verdict};
use common::{Sample, judge, judge_all, judgement, options, stdin_problem};

/// Any two numbers with the input's sum are right; says so with testlib's exit codes.
const SUM_TESTLIB: &str = "
import sys
total = int(open(sys.argv[1]).read())
words = open(sys.argv[2]).read().split()
open(sys.argv[3]).read()
if len(words) != 2:
    print('two numbers', file=sys.stderr)
    sys.exit(2)
if 'crash' in words:
    sys.exit(3)
if 'hang' in words:
    while True: pass
a, b = map(int, words)
print('their sum is', a + b, file=sys.stderr)
sys.exit(0 if a + b == total else 1)
";

/// The same with the output on stdin and Kattis's.
const SUM_KATTIS: &str = "
import sys
total = int(open(sys.argv[1]).read())
open(sys.argv[2]).read()
words = sys.stdin.read().split()
sys.exit(42 if len(words) == 2 and sum(map(int, words)) == total else 43)
";

/// Answers guesses at the number in its input with <, > and =, ten of them.
const GUESS: &str = "
import sys
secret = int(open(sys.argv[1]).read())
for _ in range(10):
    line = sys.stdin.readline()
    if not line:
        print('no guess', file=sys.stderr)
        sys.exit(1)
    guess = int(line)
    print('=' if guess == secret else '<' if secret < guess else '>', flush=True)
    if guess == secret:
        sys.exit(0)
print('too many guesses', file=sys.stderr)
sys.exit(1)
";

fn program(source: &str, protocol: Protocol) -> JudgeProgram {
    JudgeProgram { language: "python3".to_owned(), source: source.to_owned(), protocol }
}

fn with(checker: Checker, tests: &[(&str, &str)]) -> Problem {
    let mut problem = stdin_problem(tests);
    if let Task::Code(task) = &mut problem.task {
        task.checker = checker;
    }
    problem
}

fn check(problem: &Problem, options: JudgeOptions, rows: &[(&str, Verdict, &str)]) {
    let samples: Vec<Sample<'_>> =
        rows.iter().map(|(completion, ..)| Sample { problem, completion, options }).collect();
    for ((completion, verdict, reason), result) in rows.iter().zip(judge_all(&judge(), &samples)) {
        let judgement = judgement(&result);
        assert_eq!(judgement.verdict, *verdict, "{completion}: {judgement:?}");
        assert!(judgement.reason.contains(reason), "{completion}: {}", judgement.reason);
    }
}

#[test]
fn checkers_decide_by_their_exit_code() {
    use Verdict::*;
    let tests = [("7\n", ""), ("9\n", "")];
    check(
        &with(Checker::Program(program(SUM_TESTLIB, Protocol::Testlib)), &tests),
        options(),
        &[
            ("n = int(input())\nprint(n - 2, 2)", Accepted, ""),
            ("print(3, 4)", WrongAnswer, "test 1: wrong answer: their sum is 7"),
            ("print(3)", WrongAnswer, "two numbers"),
            ("print(3, 4)\nexit(1)", RuntimeError, ""),
            // No submission breaks its way to no verdict.
            ("print('crash', 1)", WrongAnswer, "the checker failed"),
            ("print('x', 1)", WrongAnswer, "ValueError"),
        ],
    );
    check(
        &with(Checker::Program(program(SUM_KATTIS, Protocol::Kattis)), &tests),
        options(),
        &[
            ("n = int(input())\nprint(n, 0)", Accepted, ""),
            ("print(3, 4)", WrongAnswer, "test 1"),
            ("", WrongAnswer, "test 0"),
        ],
    );
}

#[test]
fn an_interactor_talks_and_decides() {
    use Verdict::*;
    let search = "low, high = 1, 1000\nwhile True:\n middle = (low + high) // 2\n print(middle, flush=True)\n \
                  answer = input()\n if answer == '=': break\n if answer == '<': high = middle - 1\n else: low = middle + 1";
    let silent = "import time\ntime.sleep(60)";
    check(
        &with(Checker::Interactive(program(GUESS, Protocol::Testlib)), &[("777", ""), ("1", "")]),
        options(),
        &[
            (search, Accepted, ""),
            ("for i in range(20): print(i, flush=True)", WrongAnswer, "too many guesses"),
            ("print(5)", WrongAnswer, "no guess"),
            ("1/0", RuntimeError, "ZeroDivisionError"),
            // The interactor's word comes first; that the solution then has nothing to read is not its error.
            ("while True:\n print(3, flush=True)\n input()", WrongAnswer, "too many guesses"),
            (silent, TimeLimitExceeded, "idle time limit"),
            ("while True: pass", TimeLimitExceeded, "CPU time limit"),
        ],
    );
}

/// What is wrong with a checker is the problem's, whatever was submitted.
#[test]
fn a_checker_that_cannot_be_had_is_the_problems_fault() {
    let judge = judge();
    let cpp = |source: &str| JudgeProgram {
        language: "cpp17".to_owned(),
        source: source.to_owned(),
        protocol: Protocol::Testlib,
    };
    let rows = [
        (JudgeProgram { language: "cobol".to_owned(), ..program("", Protocol::Testlib) }, "cobol"),
        (cpp("int main() { return x; }"), "does not compile"),
    ];
    for (program, why) in rows {
        let problem = with(Checker::Program(program), &[("", "")]);
        for completion in ["print(1)", "1/0"] {
            let submission = Submission { question_id: "p".into(), completion: completion.into() };
            match judge.judge(&problem, &submission, &options()) {
                Ok(Judged::Unsupported { reason }) => assert!(reason.contains(why), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

fn scripted(starter: &str, test: &str) -> Problem {
    let mut problem = stdin_problem(&[]);
    if let Task::Code(task) = &mut problem.task {
        let input = test.to_owned();
        task.test_cases = vec![TestCase { input, output: String::new(), test_type: TestType::Script }];
        task.starter_code = starter.to_owned();
    }
    problem
}

#[test]
fn tests_behind_the_program() {
    use Verdict::*;
    let starter = "import math\ndef f(x):\n    \"\"\"Doubles.\"\"\"\n";
    let problem = scripted(starter, "def check(g):\n    assert g(2) == 4\n\ncheck(f)\n");
    let allowed = JudgeOptions { in_process: true, ..options() };
    check(
        &problem,
        allowed,
        &[
            ("def f(x): return 2 * x", Accepted, ""),
            // Only the body, as a base model writes it.
            ("    return math.trunc(2 * x)", Accepted, ""),
            ("def f(x): return x", RuntimeError, "AssertionError"),
            // To end well is not enough: the tests must have been gone through.
            ("import sys\ndef f(x): sys.exit(0)", WrongAnswer, ""),
            ("import os\nos._exit(0)", WrongAnswer, ""),
            ("def f(x) return", CompileError, "SyntaxError"),
            ("def f(x):\n    while True: pass", TimeLimitExceeded, ""),
        ],
    );
    let submission = Submission { question_id: "p".into(), completion: "def f(x): return 2 * x".into() };
    let judge = judge();
    let judged = judge.judge(&problem, &submission, &allowed);
    assert!(judgement(&judged).in_process, "it is marked");
    let judged = judge.judge(&problem, &submission, &options());
    assert!(matches!(judged, Err(JudgeError::Caller(_))), "refused unless allowed: {judged:?}");
}
