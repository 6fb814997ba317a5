//! Real files of the field, where this machine has them: `ASSAY_EVAL_DATA`, or `../shared/data` beside the
//! workspace. Where that folder exists, a file missing from it is a failure; where it does not, a line says
//! so.

use assay_testsets::{Format, Problem, Task, TestType, load, load_completions};
use std::path::{Path, PathBuf};

fn data() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("ASSAY_EVAL_DATA") {
        return Some(PathBuf::from(named));
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if !beside.exists() {
        println!("skipped: no measuring data at {}; ASSAY_EVAL_DATA may name them", beside.display());
        return None;
    }
    Some(beside)
}

fn all(path: &Path, format: Format) -> Vec<Problem> {
    let problems = load(path, None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(problems.format(), format);
    problems.map(|problem| problem.unwrap_or_else(|error| panic!("{error}"))).collect()
}

fn tests(problems: &[Problem], test_type: TestType) -> usize {
    let count = |problem: &Problem| match &problem.task {
        Task::Code(code) => code
            .test_cases
            .in_memory()
            .expect("few")
            .iter()
            .filter(|test| test.test_type == test_type)
            .count(),
        Task::Math(_) => 0,
    };
    problems.iter().map(count).sum()
}

#[test]
fn livecodebench_records() {
    let Some(data) = data() else { return };
    for (folder, problems, stdin, functional) in
        [("leetcode_functional", 165, 0, 18_247), ("lcb_public", 446, 803, 483)]
    {
        let folder = data.join("code").join(folder);
        let loaded = all(&folder.join("problems.jsonl"), Format::LiveCodeBench);
        assert_eq!(loaded.len(), problems);
        assert_eq!(tests(&loaded, TestType::Stdin), stdin);
        assert_eq!(tests(&loaded, TestType::Functional), functional);
        let completions = load_completions(&folder.join("completions.json")).unwrap();
        assert_eq!(completions.len(), problems);
        assert!(completions.iter().all(|one| one.extracted && one.samples.len() >= 2));
    }
}

#[test]
fn sandboxfusion_records() {
    let Some(data) = data() else { return };
    let loaded = all(&data.join("code/lcb_records/records.jsonl"), Format::SandboxFusion);
    let names: Vec<_> = loaded.iter().map(|problem| problem.question_id.as_str()).collect();
    assert_eq!(names, ["1", "10", "191"]);
    assert!(tests(&loaded, TestType::Stdin) > 5 && tests(&loaded, TestType::Functional) > 5);
}
