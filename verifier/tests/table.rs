//! One program, at least, for each row of the verdict table, through the judge and a real sandbox.

mod common;

use assay_sandbox::Language;
use assay_testsets::{Checker, MathTask, Problem, Task};
use assay_verifier::{
    Extraction, Judge, JudgeError, JudgeOptions, Judged, Mode, Profile, Submission, Verdict,
};
use common::{Sample, functional_problem, judge, judge_all, judgement, options, stdin_problem};

fn check(problem: &Problem, rows: &[(&str, JudgeOptions<'static>, Verdict, &str)]) {
    let samples: Vec<Sample<'_>> = rows
        .iter()
        .map(|(completion, options, ..)| Sample { problem, completion, options: *options })
        .collect();
    let judged = judge_all(&judge(), &samples);
    for ((completion, _, verdict, reason), result) in rows.iter().zip(&judged) {
        let judgement = judgement(result);
        assert_eq!(judgement.verdict, *verdict, "{completion}: {judgement:?}");
        assert!(judgement.reason.contains(reason), "{completion}: {}", judgement.reason);
        assert!(judgement.verdict != Verdict::Accepted || judgement.failed_test.is_none());
    }
}

#[test]
fn stdin_programs() {
    use Verdict::*;
    let problem = stdin_problem(&[("1\n", "1\n"), ("2\n", "2\n")]);
    let code = options();
    let completion = JudgeOptions { mode: Mode::Completion, ..code };
    let cpp = JudgeOptions { language: Some(Language::Cpp17), ..code };
    let lcb = JudgeOptions { profile: Profile::Lcb, ..code };
    let prelude = JudgeOptions { prelude: Some(true), ..code };
    check(
        &problem,
        &[
            ("print(input())", code, Accepted, "all 2 tests"),
            ("```python\nprint(input())\n```", completion, Accepted, ""),
            (
                "```cpp\n#include <cstdio>\nint main(){int x;scanf(\"%d\",&x);printf(\"%d\",x);}\n```",
                completion,
                Accepted,
                "",
            ),
            ("print(1)", code, WrongAnswer, "test 1: wrong answer: expected \"2\\n\", got \"1\\n\""),
            ("no fence", completion, NoAnswer, "no program"),
            ("<think>```python\nprint(input())\n```", completion, NoAnswer, "no program"),
            ("print(input()); raise SystemExit(3)", code, RuntimeError, "exited with code 3"),
            ("print(input()); raise SystemExit(3)", lcb, Accepted, ""),
            ("print(input()); 1/0", lcb, RuntimeError, "ZeroDivisionError"),
            ("import os; os.abort()", code, RuntimeError, "signal 6"),
            ("while True: pass", code, TimeLimitExceeded, "CPU time limit"),
            ("import time; time.sleep(60)", code, TimeLimitExceeded, "idle time limit"),
            (
                "x = bytearray(1 << 30)\nfor i in range(0, len(x), 4096): x[i] = 1",
                code,
                MemoryLimitExceeded,
                "",
            ),
            ("while True: print('x' * 1000)", code, OutputLimitExceeded, ""),
            ("print((", code, CompileError, "SyntaxError"),
            ("int main() { return x; }", cpp, CompileError, "error:"),
            // The prelude, where it was asked for, and not a word of it where it was not.
            ("print(gcd(int(input()), 0))", code, RuntimeError, "NameError"),
            ("print(gcd(int(input()), 0))", prelude, Accepted, ""),
            ("print(gcd(int(input()), 0))", lcb, Accepted, ""),
            ("print(eval('g' + 'cd')(int(input()), 0))", lcb, Accepted, ""),
            ("\u{ff47}cd; print(input())", lcb, Accepted, ""),
            (
                "'''doc'''\nfrom __future__ import annotations\ndef f(x: Nonsense): return x\nprint(f(input()))",
                lcb,
                Accepted,
                "",
            ),
        ],
    );
}

/// The names that a program gets for mentioning them are those that it would have with the whole prelude, which it gets
/// for mentioning `eval`.
#[test]
fn names_are_those_of_the_whole_prelude() {
    let lcb = JudgeOptions { profile: Profile::Lcb, ..options() };
    let names = "pow open Match Pattern datetime date copy deepcopy repeat count sub concat choice log gcd sqrt floor \
        reduce cache lru_cache heappush nlargest bisect insort insort_left Counter deque defaultdict OrderedDict mean \
        median mode stdev accumulate product permutations randint shuffle itemgetter attrgetter add mul truth index \
        StringIO BytesIO dumps loads List Dict Optional Union Callable Text IO Any argv maxsize ascii_lowercase digits \
        Template timedelta timezone string re collections heapq math random statistics itertools functools operator \
        io sys json print sum min max round hash filter typing";
    let program = |names: &[&str]| {
        format!(
            "def shown(f):\n    try: return repr(f())[:60].split(' at ')[0]\n    except NameError: return 'none'\n\
             for f in [{}]: print(shown(f))\n",
            names.iter().map(|name| format!("lambda: {name}")).collect::<Vec<_>>().join(", ")
        )
    };
    let names: Vec<&str> = names.split_whitespace().collect();
    let nothing = stdin_problem(&[("", "")]);
    for names in names.chunks(4) {
        let (all, mentioned) = (program(names) + "# eval\n", program(names));
        let sample = Sample { problem: &nothing, completion: &all, options: lcb };
        let judged = judge_all(&judge(), &[sample]);
        let bound = judgement(&judged[0]).failure.clone().expect("it prints something").actual;
        assert_eq!(bound.lines().count(), names.len(), "{bound}");
        check(&stdin_problem(&[("", &bound)]), &[(&mentioned, lcb, Verdict::Accepted, "")]);
    }
}

/// Source too long, with nothing that could run: refused before the sandbox sees it.
#[test]
fn a_source_over_the_cap_is_a_compile_error() {
    let problem = stdin_problem(&[("", "")]);
    let long = "#".repeat(2 << 20);
    check(&problem, &[(&long, options(), Verdict::CompileError, "the most is")]);
}

#[test]
fn functional_programs() {
    use Verdict::*;
    let problem = functional_problem("f", &[("1", "1"), ("2", "2"), ("[3]", "[3]")]);
    let code = options();
    let completion = JudgeOptions { mode: Mode::Completion, ..code };
    check(
        &problem,
        &[
            ("def f(x): return x", code, Accepted, "all 3 tests"),
            ("class Solution:\n    def f(self, x: List) -> Optional[int]: return x", code, Accepted, ""),
            ("```python\ndef f(x): return x\n```", completion, Accepted, ""),
            ("```cpp\nint f(int x) { return x; }\n```", completion, NoAnswer, "no program"),
            ("def f(x): print('noise'); return x", code, Accepted, ""),
            ("def f(x): return 1", code, WrongAnswer, "test 1"),
            ("def f(x): return input()", code, RuntimeError, "EOFError"),
            ("def f(x): 1/0", code, RuntimeError, "test 0: runtime error: ZeroDivisionError"),
            ("1/0", code, RuntimeError, "ZeroDivisionError"),
            ("def g(x): return x", code, RuntimeError, "AttributeError"),
            ("import os\ndef f(x): os.abort()", code, RuntimeError, "signal 6"),
            ("def f(x):\n a = []\n a.append(a)\n return a", code, RuntimeError, "cyclic"),
            ("import sys\ndef f(x): sys.exit(0)", code, NoAnswer, "before its value came"),
            ("import os\ndef f(x): os._exit(0)", code, NoAnswer, "before its value came"),
            ("import os\nos._exit(0)", code, NoAnswer, "before its function was called"),
            ("def f(x):\n while True: pass", code, TimeLimitExceeded, "CPU time limit"),
            ("import time\ndef f(x): time.sleep(60)", code, TimeLimitExceeded, "idle time limit"),
            (
                "def f(x): x = bytearray(1 << 30); x[::4096] = b'1' * len(x[::4096])",
                code,
                MemoryLimitExceeded,
                "",
            ),
            ("def f(x):\n while True: print('x' * 1000)", code, OutputLimitExceeded, ""),
            ("def f(x): return 'x' * (4 << 20)", code, RuntimeError, ""),
            ("def f(x) return x", code, CompileError, "the compiler refused"),
            // Values written past the driver: one frame too many, half a frame, a lie, and the end.
            ("import os\ndef f(x): os.write(3, b'\\x01\\0\\0\\0N'); return x", code, RuntimeError, ""),
            ("import os\ndef f(x): os.write(3, b'\\xff\\xff\\xff\\xff'); return x", code, RuntimeError, ""),
            // The same process keeps its state from test to test, as in lcb_runner.
            (
                "seen = []\ndef f(x): seen.append(x); return [3] if len(seen) == 3 else len(seen)",
                code,
                Accepted,
                "",
            ),
        ],
    );
}

/// Story: a reward counted tests, and a program that failed the first test but passed the second got nothing.
#[test]
fn all_tests_run_where_they_are_counted() {
    let problem = stdin_problem(&[("1", "x"), ("2", "2"), ("3", "3")]);
    let options = JudgeOptions { all_tests: true, ..options() };
    let judged = judge_all(&judge(), &[Sample { problem: &problem, completion: "print(input())", options }]);
    let judgement = judgement(&judged[0]);
    assert_eq!((judgement.passed, judgement.total, judgement.failed_test), (2, 3, Some(0)));
}

/// What depends on the problem alone is unsupported, whatever was submitted; a wrong request is the caller's.
#[test]
fn what_is_not_the_submissions_fault() {
    let judge = Judge::new(None);
    let submission = |completion: &str| Submission { question_id: "p".into(), completion: completion.into() };
    let unreadable = [
        stdin_problem(&[]),
        functional_problem("f", &[("x", "1")]),
        functional_problem("f", &[("1", "not json")]),
    ];
    for problem in &unreadable {
        for completion in ["", "def f(x): return x", "```python\nprint(1)\n```"] {
            let judged = judge.judge(problem, &submission(completion), &options());
            assert!(matches!(judged, Ok(Judged::Unsupported { .. })), "{judged:?}");
        }
    }
    let cpp = JudgeOptions { language: Some(Language::Cpp17), ..options() };
    let functional = functional_problem("f", &[("1", "1")]);
    let judged = judge.judge(&functional, &submission("int f();"), &cpp);
    assert!(matches!(judged, Err(JudgeError::Caller(_))), "{judged:?}");
    let judged = judge.judge(&functional, &submission("def f(x): return x"), &options());
    assert!(matches!(judged, Err(JudgeError::Caller(_))), "no sandbox was started: {judged:?}");
    let whole = JudgeOptions { extraction: Some(Extraction::Lcb), mode: Mode::Completion, ..options() };
    let judged = judge.judge(&functional, &submission("no fence"), &whole);
    assert!(matches!(judged, Ok(Judged::Graded(j)) if j.verdict == Verdict::NoAnswer));
}

#[test]
fn math_answers() {
    use Verdict::*;
    let problem = |gold: &str| Problem {
        task: Task::Math(MathTask { ground_truth: gold.to_owned(), error: None }),
        ..stdin_problem(&[])
    };
    let rows = [
        ("12", "so \\boxed{12}", Accepted, ""),
        ("\\frac{1}{2}", "\\boxed{0.5}", Accepted, ""),
        ("12", "<think>\\boxed{12}</think> \\boxed{13}", WrongAnswer, ""),
        ("12", "\\boxed{\\zzz \\yyy{}}", WrongAnswer, "unsupported_answer: "),
        ("12", "the answer is clear", NoAnswer, ""),
    ];
    let judge = Judge::new(None);
    for (gold, completion, verdict, reason) in rows {
        let submission = Submission { question_id: "p".into(), completion: completion.into() };
        let judged = judge.judge(&problem(gold), &submission, &JudgeOptions::default());
        let judgement = judgement(&judged);
        assert_eq!(judgement.verdict, verdict, "{gold} {completion}: {judgement:?}");
        assert!(judgement.reason.starts_with(reason), "{judgement:?}");
        assert_eq!((judgement.passed, judgement.total), (usize::from(verdict == Accepted), 1));
    }
    let submission = Submission { question_id: "p".into(), completion: "\\boxed{1}".into() };
    let empty = judge.judge(&problem(""), &submission, &JudgeOptions::default());
    assert!(matches!(empty, Ok(Judged::Unsupported { .. })), "{empty:?}");
}

/// What the paper's toolkit takes for an answer: blocks anywhere, definitions of all of them, numbers nearly right.
#[test]
fn the_toolkits_profile() {
    use Verdict::*;
    let options = JudgeOptions { profile: Profile::AceReason, mode: Mode::Completion, ..options() };
    check(
        &functional_problem("f", &[("1000000", "1000001")]),
        &[
            (
                "<think>```python\nimport math\ndef g(x): return math.floor(x)\n```\n```\nnot python\n```</think>\n\
                 ```python\nprint(undefined)\ndef f(x): return g(x)\n```",
                options,
                Accepted,
                "",
            ),
            ("```python\ndef f(x): return x\n```", options, NoAnswer, "no program"),
            ("</think>```python\ndef f(x): return x - 100\n```", options, WrongAnswer, ""),
        ],
    );
    check(
        &stdin_problem(&[("", "0.5 1\n2")]),
        &[
            ("</think>```\nprint('0.500001 1\\n2.0')\n```", options, Accepted, ""),
            ("</think>```\nprint('0.51 1\\n2.0')\n```", options, WrongAnswer, ""),
        ],
    );
}

/// lcb_runner's accidents, one program each: what a real process makes of it, and what the bugs do.
#[test]
fn the_runners_accidents() {
    use Verdict::*;
    let lcb = JudgeOptions { profile: Profile::Lcb, ..options() };
    let bugs = JudgeOptions { profile: Profile::LcbBugs, ..options() };
    let late = "import threading, time\ndef f():\n time.sleep(0.1)\n print(input())\nthreading.Thread(target=f).start()";
    let rows = [
        (late, Accepted, WrongAnswer),
        ("print(open(0).read())", Accepted, WrongAnswer),
        ("import sys\na = input()\nassert not sys.stdin.read().strip()\nprint(a)", Accepted, RuntimeError),
        ("import sys\nfor line in sys.stdin: print(line)", Accepted, RuntimeError),
        ("x = 0\ndef f():\n global x\n x += int(input())\nf()\nprint(x)", Accepted, RuntimeError),
        ("if '__main__' == __name__: print(input())", Accepted, WrongAnswer),
        ("def f(): print(input())\nif __name__ == '__main__':\n f()", Accepted, Accepted),
        ("print(input())\nexit(3)", Accepted, Accepted),
        ("'''\u{e9} \\\\ @PRELUDE@ @SOURCE@'''\nprint(gcd(int(input()), 0))", Accepted, Accepted),
        ("print((", CompileError, RuntimeError),
    ];
    let problem = stdin_problem(&[("7\n", "7\n")]);
    let both: Vec<_> = rows
        .iter()
        .flat_map(|(source, real, buggy)| [(*source, lcb, *real, ""), (*source, bugs, *buggy, "")])
        .collect();
    check(&problem, &both);
}

/// Checkers decide through the same path.
#[test]
fn checkers_apply() {
    let judge = judge();
    let rows = [
        (Checker::Exact, "print(1)", false),
        (Checker::Exact, "print(1, end='')", true),
        (Checker::Tokens, "print(' 1 ')", true),
        (Checker::Float { absolute: 0.1, relative: 0.0 }, "print(1.05)", true),
        (Checker::Lcb, "print('1.0')", true),
        (Checker::CaseInsensitive, "print(1)", true),
        (Checker::Unordered, "print('\\n1')", true),
    ];
    for (checker, source, right) in rows {
        let mut problem = stdin_problem(&[("", "1")]);
        if let Task::Code(task) = &mut problem.task {
            task.checker = checker.clone();
        }
        let submission = Submission { question_id: "p".into(), completion: source.into() };
        let judged = judge.judge(&problem, &submission, &options());
        let verdict = if right { Verdict::Accepted } else { Verdict::WrongAnswer };
        assert_eq!(judgement(&judged).verdict, verdict, "{checker:?} {source}");
    }
}
