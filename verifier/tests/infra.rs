//! Our own failure is an error, never a verdict. Alone in its binary: it kills the processes below this one.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use assay_sandbox::{Sandbox, SandboxConfig};
use assay_verifier::{Judge, JudgeError, JudgeOptions, Judged, Mode, Submission, Verdict};
use common::stdin_problem;

#[test]
fn a_broken_sandbox_gives_no_verdict() {
    let helper = Some(PathBuf::from("/nonexistent/assay"));
    let started = Sandbox::start(&SandboxConfig { helper, ..SandboxConfig::default() });
    assert!(started.is_err(), "a sandbox without its helper started");

    let problem = stdin_problem(&[("1", "1")]);
    let submission = Submission { question_id: "p".into(), completion: "print(input())".into() };
    let options = JudgeOptions { mode: Mode::Code, ..JudgeOptions::default() };
    // A spawner that dies is replaced, so the executable it would come from goes too.
    let folder = tempfile::tempdir().expect("a temporary directory");
    let helper = folder.path().join("assay");
    fs::copy(env!("CARGO_BIN_EXE_assay"), &helper).expect("a copy of the binary");
    let config = SandboxConfig { helper: Some(helper.clone()), ..SandboxConfig::default() };
    let judge = Judge::new(Some(Sandbox::start(&config).expect("the sandbox starts")));
    let judged = judge.judge(&problem, &submission, &options);
    assert!(matches!(&judged, Ok(Judged::Graded(j)) if j.verdict == Verdict::Accepted), "{judged:?}");

    fs::remove_file(&helper).expect("remove the helper");
    for pid in descendants_of(std::process::id()) {
        // One may have ended with its parent already.
        Command::new("kill").args(["-KILL", &pid.to_string()]).output().expect("kill is installed");
    }
    for _ in 0..3 {
        let judged = judge.judge(&problem, &submission, &options);
        assert!(matches!(judged, Err(JudgeError::Infra(_))), "{judged:?}");
    }
}

/// Spawner, slots and interpreters: all that this process started and what that started.
fn descendants_of(pid: u32) -> Vec<u32> {
    let parent = |stat: &str| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok();
    let pids = fs::read_dir("/proc").expect("procfs").flatten();
    let parents: Vec<(u32, u32)> = pids
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, parent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&pid) = found.get(at) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
        at += 1;
    }
    found.split_off(1)
}
