//! Our own failure is an error, never a verdict. Alone in its binary: it kills the processes below this one.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use assay_sandbox::{Sandbox, SandboxConfig};
use assay_verifier::{Judge, JudgeError, JudgeOptions, Judged, Mode, Submission, Verdict};
use common::{sandbox, stdin_problem};

#[test]
fn a_broken_sandbox_gives_no_verdict() {
    let helper = Some(PathBuf::from("/nonexistent/assay"));
    let started = Sandbox::start(&SandboxConfig { helper, ..SandboxConfig::default() });
    assert!(started.is_err(), "a sandbox without its helper started");

    let problem = stdin_problem(&[("1", "1")]);
    let submission = Submission { question_id: "p".into(), completion: "print(input())".into() };
    let options = JudgeOptions { mode: Mode::Code, ..JudgeOptions::default() };
    let judge = Judge::new(Some(sandbox()));
    let judged = judge.judge(&problem, &submission, &options);
    assert!(matches!(&judged, Ok(Judged::Graded(j)) if j.verdict == Verdict::Accepted), "{judged:?}");

    for pid in children_of(std::process::id()) {
        Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill is installed");
    }
    for _ in 0..3 {
        let judged = judge.judge(&problem, &submission, &options);
        assert!(matches!(judged, Err(JudgeError::Infra(_))), "{judged:?}");
    }
}

/// The spawner, and whatever else this process started.
fn children_of(pid: u32) -> Vec<u32> {
    let parent = |stat: &str| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok();
    let pids = fs::read_dir("/proc").expect("procfs").flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|child| {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            parent(&stat) == Some(pid)
        })
        .collect()
}
