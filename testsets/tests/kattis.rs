//! Problem packages: what a folder and an archive mean, and what is said of those that cannot be judged here.

use std::fs;
use std::path::{Path, PathBuf};

use assay_testsets::{
    Checker, CodeTask, Format, KattisFlags, Problem, Protocol, Scoring, Task, file_sha256, load,
};
use std::time::Duration;
use tempfile::TempDir;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/kattis")
}

fn code(problem: &Problem) -> &CodeTask {
    match &problem.task {
        Task::Code(code) => code,
        Task::Math(_) => panic!("a math task"),
    }
}

fn packages(path: &Path) -> Vec<Problem> {
    let problems = load(path, None).expect("packages");
    assert_eq!(problems.format(), Format::Kattis);
    problems.map(|problem| problem.unwrap_or_else(|error| panic!("{error}"))).collect()
}

#[test]
fn packages_are_read_whole() {
    let all = packages(&corpus());
    let ids: Vec<&str> = all.iter().map(|problem| problem.question_id.as_str()).collect();
    assert_eq!(ids, ["guess", "points", "sums"]);
    let [guess, points, sums] = &all[..] else { unreachable!("three, as just seen") };

    assert_eq!(packages(&corpus().join("sums")), std::slice::from_ref(sums), "one package by itself");
    assert!(sums.prompt.contains("Print the sum"));
    let inputs: Vec<&str> =
        code(sums).test_cases.in_memory().expect("few").iter().map(|test| test.input.as_str()).collect();
    assert_eq!(inputs, ["1 2\n", "0.5 0.25\n", "-1 1\n"], "samples first");
    let tolerance = Some(1e-4);
    let flags = KattisFlags {
        case_sensitive: true,
        absolute: tolerance,
        relative: tolerance,
        ..KattisFlags::default()
    };
    assert_eq!(code(sums).checker, Checker::Kattis(flags));
    assert_eq!(code(sums).limits.cpu_time, Some(Duration::from_millis(2500)));
    assert_eq!(code(sums).limits.memory, Some(512 << 20));

    let Checker::Interactive(program) = &code(guess).checker else { panic!("{guess:?}") };
    assert_eq!((program.protocol, program.language.as_str()), (Protocol::Kattis, "cpp17"));
    assert_eq!(program.arguments, ["10"]);
    assert!(
        program.source.contains("WRONG = 43") && !program.source.contains("rules.h"),
        "{}",
        program.source
    );

    let groups: Vec<(&str, usize, f64, Scoring)> = code(points)
        .groups
        .iter()
        .map(|group| (group.name.as_str(), group.tests, group.points, group.scoring))
        .collect();
    let wanted = [
        ("sample", 1, 0.0, Scoring::Each),
        ("secret/1-small", 2, 30.0, Scoring::Worst),
        ("secret/2-each", 2, 40.0, Scoring::Each),
        ("secret/3-first", 2, 30.0, Scoring::UntilFailure),
    ];
    assert_eq!(groups, wanted);
    for problem in &all {
        assert_eq!(Problem::from_json(&problem.to_json()).as_ref(), Ok(problem));
    }
}

/// A copy of a package of the corpus with one file written, or taken away.
fn changed(package: &str, file: &str, text: Option<&str>) -> TempDir {
    let copy = TempDir::new().expect("a folder");
    copied(&corpus().join(package), copy.path());
    let path = copy.path().join(file);
    match text {
        Some(text) => {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        None => fs::remove_file(path).expect("it was there"),
    }
    copy
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// A package, the file in it that is changed, to what, the file and line that are blamed, and what is said.
const BAD: [(&str, &str, Option<&str>, &str, &str); 19] = [
    ("sums", "problem.yaml", Some("words\n"), "problem.yaml: line 1", "a line `key: value`, found `words`"),
    (
        "sums",
        "problem.yaml",
        Some("limits:\n  memory: much\n"),
        "problem.yaml: line 2",
        "`limits.memory` to be a number, found `much`",
    ),
    (
        "sums",
        "problem.yaml",
        Some("limits:\n  memory: -1\n"),
        "problem.yaml: line 2",
        "`limits.memory` above 0, found -1",
    ),
    (
        "sums",
        "problem.yaml",
        Some("validation: maybe\n"),
        "problem.yaml: line 1",
        "default, custom or custom interactive, found `maybe`",
    ),
    (
        "sums",
        "problem.yaml",
        Some("validation: custom score\n"),
        "problem.yaml: line 1",
        "found `score`; leave the package out",
    ),
    (
        "sums",
        "problem.yaml",
        Some("validation: custom\n"),
        "output_validator",
        "one validator, one source in C++ or Python, found none",
    ),
    ("sums", "problem.yaml", Some("type: multi-pass\n"), "problem.yaml: line 1", "found `multi-pass`"),
    (
        "sums",
        "problem.yaml",
        Some("\nvalidator_flags: float_tolerance\n"),
        "problem.yaml: line 2",
        "a tolerance behind float_tolerance, found none",
    ),
    (
        "sums",
        "problem.yaml",
        Some("validator_flags: exact\n"),
        "problem.yaml: line 1",
        "flags of the default output validator, found `exact`",
    ),
    (
        "sums",
        "problem.yaml",
        Some("validator_flags: [a]\n"),
        "problem.yaml: line 1",
        "text or a number on its own line",
    ),
    ("sums", "data/secret/02.ans", None, "data/secret/02.ans", "an answer beside every input, found none"),
    ("sums", "data/secret/g/testdata.yaml", Some("output_validator_flags: case_sensitive\n"), "", ""),
    (
        "guess",
        "output_validators/guess/build",
        Some("#!/bin/sh\n"),
        "output_validators",
        "found `output_validators/guess/build`",
    ),
    ("guess", "output_validators/other.py", Some(""), "output_validators", "one validator, one source"),
    (
        "points",
        "data/testdata.yaml",
        Some("grader_flags: min\n"),
        "data/testdata.yaml: line 1",
        "sum where groups stand in a group, found `min`",
    ),
    (
        "points",
        "data/secret/1-small/testdata.yaml",
        Some("grading: custom\n"),
        "1-small/testdata.yaml: line 1",
        "`grading` to be default, found `custom`",
    ),
    (
        "points",
        "data/secret/1-small/testdata.yaml",
        Some("\nreject_score: 1\n"),
        "1-small/testdata.yaml: line 2",
        "`reject_score` to be 0",
    ),
    (
        "points",
        "data/secret/1-small/testdata.yaml",
        Some("on_reject: go\n"),
        "1-small/testdata.yaml: line 1",
        "break or continue, found `go`",
    ),
    (
        "points",
        "data/secret/1-small/testdata.yaml",
        Some("output_validator_flags: x\n"),
        "data/secret/1-small",
        "one set of validator flags",
    ),
];

#[test]
fn what_cannot_be_judged_is_named() {
    for (package, file, text, place, says) in BAD {
        let copy = changed(package, file, text);
        let loaded = load(copy.path(), None).expect("a package").next().expect("one problem");
        if says.is_empty() {
            assert!(loaded.is_ok(), "a group without tests says nothing: {loaded:?}");
            continue;
        }
        let error = loaded.expect_err(says).to_string();
        assert!(error.contains(place) && error.contains(says), "{file}: {error}\n  not: {place} ... {says}");
        assert!(error.contains("expected ") && error.contains("; ") && !error.contains('\n'), "{error}");
    }
}

/// A package could name files of this machine, and have them given to a submission as its input.
#[test]
fn links_that_lead_out_are_refused() {
    let copy = changed("sums", "data/secret/02.ans", None);
    std::os::unix::fs::symlink("/etc/hostname", copy.path().join("data/secret/02.ans")).expect("a link");
    let error =
        load(copy.path(), None).expect("a package").next().expect("one").expect_err("a link").to_string();
    assert!(error.contains("02.ans: expected links inside the package"), "{error}");
    fs::remove_file(copy.path().join("data/secret/02.ans")).expect("it was there");
    std::os::unix::fs::symlink("../sample/1.ans", copy.path().join("data/secret/02.ans")).expect("a link");
    assert!(load(copy.path(), None).expect("a package").all(|problem| problem.is_ok()), "a link inside");
}

#[test]
fn what_is_no_package_is_named() {
    let empty = TempDir::new().expect("a folder");
    let error = load(empty.path(), None).expect_err("nothing there").to_string();
    assert!(error.contains("a problem package with a problem.yaml, found a folder without one"), "{error}");
    let file = corpus().join("sums/problem.yaml");
    let problem = load(&file, Some(Format::Kattis)).expect("one package").next().expect("one problem");
    let error = problem.expect_err("no archive").to_string();
    assert!(error.contains("a whole zip archive"), "{error}");
}

#[test]
fn a_folders_hash_is_of_all_its_files() {
    let same = changed("sums", "data/secret/02.ans", Some("0.75\n"));
    let other = changed("sums", "data/secret/02.ans", Some("0.76\n"));
    let hash = |copy: &TempDir| {
        let package = copy.path().join("p");
        fs::create_dir(&package).expect("a folder");
        for name in ["problem.yaml", "data"] {
            fs::rename(copy.path().join(name), package.join(name)).expect("moved");
        }
        file_sha256(copy.path()).expect("a hash")
    };
    let again = changed("sums", "data/secret/02.ans", Some("0.75\n"));
    assert_eq!(hash(&same), hash(&again));
    assert_ne!(hash(&other), file_sha256(again.path()).expect("a hash"));
}
