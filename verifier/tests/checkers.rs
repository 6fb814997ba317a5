//! Programs of the problem's author that decide, and tests that run in the program's own process.

mod common;

use assay_testsets::{
    Checker, JudgeProgram, Problem, Protocol, Scoring, Task, TestCase, TestGroup, TestType,
};
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
    let (language, source) = ("python3".to_owned(), source.to_owned());
    JudgeProgram { language, source, protocol, arguments: Vec::new() }
}

fn with(checker: Checker, tests: &[(&str, &str)]) -> Problem {
    let mut problem = stdin_problem(tests);
    if let Task::Code(task) = &mut problem.task {
        task.checker = checker;
    }
    problem
}

fn check(problem: &Problem, options: JudgeOptions<'static>, rows: &[(&str, Verdict, &str)]) {
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

/// Half of the points for a sum that is off by one, and words no judge knows for one that is off by two.
const PARTS: &str = "
import sys
off = abs(int(open(sys.argv[1]).read()) - int(open(sys.argv[2]).read()))
if off == 1: print('points 0.5 off by one', file=sys.stderr)
if off == 2: print('points 50 of a hundred', file=sys.stderr)
sys.exit([0, 7, 7][off] if off < 3 else 1)
";

/// Subtasks: the points of each by its own rule, all of them looked at, and 1 only for what is right throughout.
#[test]
fn subtasks_earn_points() {
    let tests: Vec<(String, String)> = (1..=7).map(|n| (format!("{n}\n"), format!("{n}\n"))).collect();
    let tests: Vec<(&str, &str)> = tests.iter().map(|(i, o)| (i.as_str(), o.as_str())).collect();
    let group =
        |name: &str, tests, points, scoring| TestGroup { name: name.to_owned(), tests, points, scoring };
    let groups = vec![
        group("sample", 1, 0.0, Scoring::Each),
        group("worst", 2, 30.0, Scoring::Worst),
        group("each", 2, 40.0, Scoring::Each),
        group("until", 2, 30.0, Scoring::UntilFailure),
    ];
    let scored = |checker: Checker, completion: &str| {
        let mut problem = with(checker, &tests);
        if let Task::Code(task) = &mut problem.task {
            task.groups = groups.clone();
        }
        let sample = Sample { problem: &problem, completion, options: options() };
        let judged = judge_all(&judge(), &[sample]);
        let judgement = judgement(&judged[0]);
        (judgement.verdict, judgement.score, judgement.passed)
    };
    let parts = || Checker::Program(program(PARTS, Protocol::Testlib));
    let wrong_for = |bad: &str| format!("n = int(input())\nprint(n + 5 * (n in {bad}))");
    let (accepted, wrong) = (Verdict::Accepted, Verdict::WrongAnswer);
    for (checker, completion, expected) in [
        (Checker::Tokens, "print(input())".to_owned(), (accepted, Some(1.0), 7)),
        (Checker::Tokens, wrong_for("(1,)"), (wrong, Some(1.0), 6)),
        // The third test is not run: its group has nothing left to earn.
        (Checker::Tokens, wrong_for("(2,)"), (wrong, Some(0.7), 5)),
        (Checker::Tokens, wrong_for("(4, 7)"), (wrong, Some(0.65), 5)),
        (Checker::Tokens, wrong_for("(6,)"), (wrong, Some(0.7), 5)),
        (Checker::Tokens, "print(0)".to_owned(), (wrong, Some(0.0), 0)),
        (Checker::Tokens, "print(".to_owned(), (Verdict::CompileError, Some(0.0), 0)),
        (parts(), "n = int(input())\nprint(n + (n in (3, 5)))".to_owned(), (wrong, Some(0.75), 5)),
        (parts(), "n = int(input())\nprint(n + 2 * (n == 5))".to_owned(), (wrong, Some(0.8), 6)),
    ] {
        assert_eq!(scored(checker, &completion), expected, "{completion}");
    }
}

/// The packages of the corpus, judged: a validator of their own with its flags and header, an interactive one, and points.
#[test]
fn problem_packages_are_judged() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testsets/tests/corpus/kattis");
    let problems: Vec<Problem> =
        assay_testsets::load(&corpus, None).expect("packages").collect::<Result<_, _>>().expect("packages");
    let guess = "low, high = 1, 1000\nwhile low <= high:\n middle = (low + high) // 2\n print(middle, flush=True)\n \
                 answer = input()\n if answer == 'equal': break\n if answer == 'lower': high = middle - 1\n else: low = middle + 1";
    let rows = [
        ("guess", guess, Verdict::Accepted, None),
        ("guess", "for n in range(20): print(n, flush=True)", Verdict::WrongAnswer, None),
        ("points", "print(input())", Verdict::Accepted, Some(1.0)),
        ("points", "n = input()\nprint(n if n != '2' else 0)", Verdict::WrongAnswer, Some(0.7)),
        ("sums", "print(sum(map(float, input().split())) + 5e-5)", Verdict::Accepted, None),
        ("sums", "print(sum(map(float, input().split())) + 5e-3)", Verdict::WrongAnswer, None),
    ];
    for (id, completion, verdict, score) in rows {
        let problem = problems.iter().find(|problem| problem.question_id == id).expect(id);
        let judged = judge_all(&judge(), &[Sample { problem, completion, options: options() }]);
        let judgement = judgement(&judged[0]);
        assert_eq!((judgement.verdict, judgement.score), (verdict, score), "{id}: {judgement:?}");
    }
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
        arguments: Vec::new(),
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
        task.test_cases = vec![TestCase { input, output: String::new(), test_type: TestType::Script }].into();
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
    // Test classes run, and do not leave the process as `unittest.main` does.
    let row = serde_json::json!({"task_id": "b", "complete_prompt": "def f(x):\n", "instruct_prompt": "",
        "test": "import unittest\nclass Tests(unittest.TestCase):\n    def test_two(self):\n        self.assertEqual(f(2), 4)\n\
                 if __name__ == '__main__':\n    unittest.main()\n"});
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut file, row.to_string().as_bytes()).expect("room");
    let classes =
        assay_testsets::load(file.path(), None).expect("a file").next().expect("a row").expect("a problem");
    check(
        &classes,
        allowed,
        &[
            ("def f(x): return 2 * x", Accepted, ""),
            ("def f(x): return x", RuntimeError, "failures=1"),
            ("def f(x): raise SystemExit(0)", RuntimeError, "errors=1"),
        ],
    );
    let submission = Submission { question_id: "p".into(), completion: "def f(x): return 2 * x".into() };
    let judge = judge();
    let judged = judge.judge(&problem, &submission, &allowed);
    assert!(judgement(&judged).in_process, "it is marked");
    let judged = judge.judge(&problem, &submission, &options());
    assert!(matches!(judged, Err(JudgeError::Caller(_))), "refused unless allowed: {judged:?}");
}

/// Assertions over literals are calls, compared outside as Python compares: nobody has to believe the program's process.
#[test]
fn assertions_are_calls() {
    use Verdict::*;
    let row = serde_json::json!({"task_id": "h", "entry_point": "f", "prompt": "import math\ndef f(x, *more):\n    \"\"\"Pairs.\"\"\"\n",
        "test": "METADATA = {}\n\ndef check(candidate):\n    assert candidate((1, 2)) == [(1,), (2,)], 'two'\n    \
                 assert candidate([]) == []\n    assert candidate((None, True), 'a') == [(None,), (True,)]\n"});
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut file, row.to_string().as_bytes()).expect("room");
    let problem =
        assay_testsets::load(file.path(), None).expect("a file").next().expect("a row").expect("a problem");
    check(
        &problem,
        options(),
        &[
            ("def f(x, *more): return [(y,) for y in x]", Accepted, ""),
            // Only the body, as a base model writes it, with what the beginning imports.
            ("    math.pi\n    return [(y,) for y in x]", Accepted, ""),
            ("def f(x, *more): return [[y] for y in x]", WrongAnswer, "[[1], [2]]"),
            ("def f(x, *more): return tuple((y,) for y in x)", WrongAnswer, ""),
            ("class Solution: pass\ndef f(x, *more): return [(y,) for y in x]", Accepted, ""),
            ("def f(x, *more): raise SystemExit", NoAnswer, ""),
            (
                "class A(list):\n def __eq__(self, o): return True\ndef f(x, *more): return A()",
                WrongAnswer,
                "",
            ),
            // Then `f` is the prompt's, which does nothing.
            ("def g(): pass", WrongAnswer, "None"),
        ],
    );
}
