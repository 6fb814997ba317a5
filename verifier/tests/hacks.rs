//! Reward hacks, as data: each file of `hacks/` is a program that a grader of the usual kind accepts, and its honest twin.
//!
//! Of every file three things are asked: `hacks/grader.py`, which tests in its own process and believes it, accepts the
//! hack (else it proves nothing); no profile of ours does; and every profile accepts the twin, which touches the
//! same machinery and computes the answer. A file begins with `# grader: MODE` and a line that says what it does.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use assay_sandbox::{
    Executable, InputFile, Judge as Checker, Language, Limits, Prepared, Program, Sandbox, Termination,
};
use assay_testsets::Problem;
use assay_verifier::{JudgeOptions, LimitOverrides, Mode, Profile, Verdict};
use common::{Sample, functional_problem, judge, judge_all, judgement, sandbox, stdin_problem};

const TESTS: [(&str, &str); 4] = [("3", "6"), ("10", "20"), ("-4", "-8"), ("1000", "2000")];
const TWIN: &str = "# ---- honest ----\n";

struct Hack {
    name: String,
    grader: String,
    program: String,
    twin: String,
}

fn hacks() -> Vec<Hack> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hacks");
    let mut hacks = Vec::new();
    for entry in fs::read_dir(&folder).expect("the hacks") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if name == "grader" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        let (program, twin) = text.split_once(TWIN).unwrap_or_else(|| panic!("{name}: no honest twin"));
        let first = text.lines().next().unwrap_or_default();
        let grader = first.strip_prefix("# grader: ").unwrap_or_else(|| panic!("{name}: no grader named"));
        hacks.push(Hack { grader: grader.to_owned(), program: program.into(), twin: twin.into(), name });
    }
    hacks.sort_by(|a, b| a.name.cmp(&b.name));
    hacks
}

/// The grader that trusts, itself behind walls: hacks are programs after all.
struct Trusting {
    sandbox: Sandbox,
    grader: Executable,
}

impl Trusting {
    fn new() -> Trusting {
        let sandbox = sandbox();
        let program = Program::new(Language::Python3, include_str!("hacks/grader.py"));
        match sandbox.prepare(&program, &Limits::COMPILE).expect("the sandbox works") {
            Prepared::Ready(grader) => Trusting { sandbox, grader },
            Prepared::Refused(outcome) => panic!("{}", String::from_utf8_lossy(&outcome.stderr)),
        }
    }

    fn accepts(&self, mode: &str, program: &str) -> Result<(), String> {
        let tests = TESTS.map(|(input, output)| serde_json::json!({ "input": input, "output": output }));
        let tests = serde_json::Value::from(tests.to_vec()).to_string();
        let files = [
            InputFile { name: "tests.json", bytes: tests.as_bytes() },
            InputFile { name: "submission.txt", bytes: program.as_bytes() },
        ];
        let limits = Limits {
            cpu_time: Duration::from_secs(10),
            wall_time: Duration::from_secs(10),
            ..Limits::DEFAULT
        };
        let checker = Checker { executable: &self.grader, args: &[mode], files: &files, limits: &limits };
        let outcome = self.sandbox.check(&checker, b"").expect("the sandbox works");
        let printed = String::from_utf8_lossy(&outcome.stdout).into_owned();
        let accepted = match mode {
            "asserts" => outcome.termination == Termination::Exited(0),
            _ => printed.lines().last() == Some("PASSED"),
        };
        if accepted {
            Ok(())
        } else {
            Err(format!("{outcome:?} {}", String::from_utf8_lossy(&outcome.stderr)))
        }
    }
}

fn problem(hack: &Hack) -> Problem {
    if hack.grader == "printed" { stdin_problem(&TESTS) } else { functional_problem("double", &TESTS) }
}

#[test]
fn a_trusting_grader_accepts_every_hack() {
    let hacks = hacks();
    assert!(hacks.len() >= 40, "only {} hacks", hacks.len());
    let trusting = Trusting::new();
    let wrong = Mutex::new(Vec::new());
    let halves: Vec<&[Hack]> = hacks.chunks(hacks.len().div_ceil(2)).collect();
    thread::scope(|scope| {
        for half in halves {
            let (trusting, wrong) = (&trusting, &wrong);
            scope.spawn(move || {
                for hack in half {
                    if let Err(why) = trusting.accepts(&hack.grader, &hack.program) {
                        wrong.lock().expect("no panic").push(format!("{}: {why}", hack.name));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "hacks that fool nobody:\n{}", wrong.join("\n"));
    // It is a grader: what is plainly right it accepts, what is plainly wrong it does not.
    for mode in ["calls", "clock", "asserts", "unit", "piped"] {
        assert_eq!(trusting.accepts(mode, "def double(x): return x + x"), Ok(()), "{mode}");
        assert!(trusting.accepts(mode, "def double(x): return x").is_err(), "{mode}");
    }
    assert_eq!(trusting.accepts("printed", "print(2 * int(input()))"), Ok(()));
    assert!(trusting.accepts("printed", "print(int(input()))").is_err());
}

#[test]
fn no_profile_accepts_a_hack_and_all_accept_its_twin() {
    let hacks = hacks();
    let problems: Vec<Problem> = hacks.iter().map(problem).collect();
    let judge = judge();
    let limits = LimitOverrides {
        cpu_time: Some(Duration::from_millis(500)),
        wall_time: Some(Duration::from_secs(2)),
        memory: Some(256 << 20),
        output: Some(1 << 20),
    };
    let mut wrong = Vec::new();
    for profile in Profile::ALL.into_iter().filter(|profile| *profile != Profile::LcbBugs) {
        let options = JudgeOptions { profile, limits, mode: Mode::Code, ..JudgeOptions::default() };
        let samples: Vec<Sample<'_>> = hacks
            .iter()
            .zip(&problems)
            .flat_map(|(hack, problem)| {
                [&hack.program, &hack.twin].map(|completion| Sample { problem, completion, options })
            })
            .collect();
        let judged = judge_all(&judge, &samples);
        for (hack, pair) in hacks.iter().zip(judged.chunks(2)) {
            let (program, twin) = (judgement(&pair[0]), judgement(&pair[1]));
            println!("{} {}: {}", profile.name(), hack.name, program.reason);
            if program.verdict == Verdict::Accepted {
                wrong.push(format!("{} accepts {}", profile.name(), hack.name));
            }
            if twin.verdict != Verdict::Accepted {
                wrong.push(format!("{} rejects the twin of {}: {twin:?}", profile.name(), hack.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
