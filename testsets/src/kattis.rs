//! Kattis's and the ICPC's problem packages, a folder or a zip archive: `problem.yaml`, `data/sample` and `data/secret` with
//! `.in` and `.ans`, flags of the default output validator or a validator of the package's own, interactive ones too, and
//! in the legacy form `testdata.yaml` with the points of its groups.
//!
//! What would change verdicts and is not done here is an error that says so: validators that write scores, graders of the
//! package's own, several passes, flags that differ from group to group, build scripts.

use crate::error::{LoadError, Misfit, clip};
use crate::package::Package;
use crate::problem::{
    Checker, CodeTask, JudgeProgram, KattisFlags, Problem, Protocol, Scoring, Task, TaskLimits, TestCase,
    TestGroup, TestType,
};
use crate::test_cases::{Gathering, no_room};
use crate::yaml::Yaml;
use std::path::Path;
use std::time::Duration;

const HEAD: &str = "problem.yaml";

/// Reads a package; `cap` bounds what is read of it, in bytes.
pub(crate) fn problem(path: &Path, cap: usize) -> Result<Problem, LoadError> {
    let package = Package::open(path, cap)?;
    let head = File::read(&package, HEAD)?;
    let kind = Kind::read(&package, &head)?;
    let tests = tests(&package)?;
    let flags = flags(&package, &head, &tests)?;
    let program = if kind.custom { Some(validator(&package, &flags)?) } else { None };
    let checker = match program {
        None => {
            Checker::Kattis(default_flags(&flags).map_err(|misfit| head.fail("validator_flags", misfit))?)
        }
        Some(program) if kind.interactive => Checker::Interactive(program),
        Some(program) => Checker::Program(program),
    };
    let groups = if kind.scoring { groups(&package, &tests)? } else { Vec::new() };
    let failed = |error| LoadError { file: path.to_owned(), place: None, misfit: no_room(&error) };
    let mut test_cases = Gathering::default();
    for test in &tests {
        let (input, output) = (package.text(&test.input())?, package.text(&test.answer())?);
        test_cases.push(TestCase { input, output, test_type: TestType::Stdin }).map_err(failed)?;
    }
    let test_cases = test_cases.done().map_err(failed)?;
    let limits = TaskLimits {
        cpu_time: head.above_zero("limits.time_limit")?.map(Duration::from_secs_f64),
        memory: head.above_zero("limits.memory")?.map(|mebibytes| (mebibytes * f64::from(1 << 20)) as u64),
    };
    let task = CodeTask { starter_code: String::new(), func_name: None, test_cases, checker, limits, groups };
    Ok(Problem {
        question_id: package.name(),
        prompt: statement(&package)?,
        task: Task::Code(task),
        difficulty: None,
        platform: Some("kattis".to_owned()),
        contest_date: None,
    })
}

/// A YAML file of the package.
struct File<'a> {
    package: &'a Package,
    name: String,
    yaml: Yaml,
}

impl<'a> File<'a> {
    fn read(package: &'a Package, name: &str) -> Result<File<'a>, LoadError> {
        let text = package.text(name)?;
        let yaml = Yaml::parse(&text).map_err(|(line, misfit)| package.error(name, Some(line), misfit))?;
        Ok(File { package, name: name.to_owned(), yaml })
    }

    fn text(&self, key: &str) -> Result<Option<&str>, LoadError> {
        self.yaml.text(key).map_err(|(line, misfit)| self.package.error(&self.name, Some(line), misfit))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, LoadError> {
        self.yaml.number(key).map_err(|(line, misfit)| self.package.error(&self.name, Some(line), misfit))
    }

    fn above_zero(&self, key: &str) -> Result<Option<f64>, LoadError> {
        match self.number(key)? {
            Some(number) if !(number > 0.0 && number < 1e9) => {
                let misfit =
                    Misfit::new(format!("`{key}` above 0"), number.to_string(), "correct that value");
                Err(self.fail(key, misfit))
            }
            number => Ok(number),
        }
    }

    fn fail(&self, key: &str, misfit: Misfit) -> LoadError {
        self.package.error(&self.name, Some(self.yaml.line(key)), misfit)
    }

    fn unknown(&self, key: &str, expected: &str, found: &str) -> LoadError {
        let hint = "leave the package out, or judge it with the judge it was made for";
        self.fail(key, Misfit::new(format!("`{key}` to be {expected}"), clip(found), hint))
    }
}

/// What kind of problem it is.
#[derive(Debug, Default)]
struct Kind {
    custom: bool,
    interactive: bool,
    scoring: bool,
}

impl Kind {
    fn read(package: &Package, head: &File<'_>) -> Result<Kind, LoadError> {
        let legacy = matches!(head.text("problem_format_version")?, None | Some("legacy" | "legacy-icpc"));
        let mut kind = Kind {
            custom: !legacy && package.names().any(|name| name.starts_with("output_validator/")),
            ..Kind::default()
        };
        for word in head.text("type")?.unwrap_or("pass-fail").split_whitespace() {
            match word {
                "pass-fail" => {}
                "interactive" => kind.interactive = true,
                "scoring" if legacy => kind.scoring = true,
                other => {
                    return Err(head.unknown(
                        "type",
                        "pass-fail, interactive or, in the legacy form, scoring",
                        other,
                    ));
                }
            }
        }
        for word in head.text("validation")?.unwrap_or("default").split_whitespace() {
            match word {
                "default" => {}
                "custom" => kind.custom = true,
                "interactive" => kind.interactive = true,
                other => {
                    return Err(head.unknown("validation", "default, custom or custom interactive", other));
                }
            }
        }
        match kind.interactive && !kind.custom {
            true => Err(head.unknown("validation", "custom where it is interactive", "no validator")),
            false => Ok(kind),
        }
    }
}

/// A test by its name without an ending: `data/secret/1-small/03`.
struct Test(String);

impl Test {
    fn input(&self) -> String {
        format!("{}.in", self.0)
    }

    fn answer(&self) -> String {
        format!("{}.ans", self.0)
    }

    fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// Samples first, then the secret ones, folder by folder.
fn tests(package: &Package) -> Result<Vec<Test>, LoadError> {
    let inside = |name: &&str| name.starts_with("data/sample/") || name.starts_with("data/secret/");
    let inputs = package.names().filter(inside).filter_map(|name| name.strip_suffix(".in"));
    let mut tests: Vec<Test> = inputs.map(|name| Test(name.to_owned())).collect();
    tests.sort_by(|a, b| (a.folder().split('/').cmp(b.folder().split('/'))).then_with(|| a.0.cmp(&b.0)));
    if tests.is_empty() {
        let hint = "add a test: without one every program would pass";
        let misfit = Misfit::new("at least one test `data/secret/*.in`", "none", hint);
        return Err(package.error("data", None, misfit));
    }
    match tests.iter().find(|test| !package.has(&test.answer())) {
        None => Ok(tests),
        Some(test) => {
            let misfit = Misfit::new("an answer beside every input", "none", "add it; it may be empty");
            Err(package.error(&test.answer(), None, misfit))
        }
    }
}

/// What the validator is called with: the problem's flags and the group's, the same for all tests.
fn flags(package: &Package, head: &File<'_>, tests: &[Test]) -> Result<Vec<String>, LoadError> {
    let own = head.text("validator_flags")?.unwrap_or_default();
    let mut all: Option<(Vec<String>, &str)> = None;
    for folder in folders(tests) {
        let group = match settings(package, folder)? {
            Some(file) => match file.text("output_validator_flags")? {
                None => file.text("output_validator_args")?.unwrap_or_default().to_owned(),
                Some(flags) => flags.to_owned(),
            },
            None => String::new(),
        };
        let words: Vec<String> = format!("{own} {group}").split_whitespace().map(str::to_owned).collect();
        match &all {
            Some((earlier, _)) if *earlier == words => {}
            None => all = Some((words, folder)),
            Some((earlier, first)) => {
                let expected =
                    format!("one set of validator flags, {} as in {first}", clip(&earlier.join(" ")));
                let hint = "make a package of each group";
                return Err(package.error(folder, None, Misfit::new(expected, clip(&words.join(" ")), hint)));
            }
        }
    }
    Ok(all.map(|(words, _)| words).unwrap_or_default())
}

/// The folders that hold tests, each once, in order.
fn folders(tests: &[Test]) -> Vec<&str> {
    let mut folders: Vec<&str> = tests.iter().map(Test::folder).collect();
    folders.dedup();
    folders
}

/// The settings of a group: its own file, or that of the nearest folder above.
fn settings<'a>(package: &'a Package, folder: &str) -> Result<Option<File<'a>>, LoadError> {
    let mut folder = folder;
    loop {
        for name in ["testdata.yaml", "test_group.yaml"] {
            let name = format!("{folder}/{name}");
            if package.has(&name) {
                return File::read(package, &name).map(Some);
            }
        }
        match folder.rsplit_once('/') {
            Some((above, _)) => folder = above,
            None => return Ok(None),
        }
    }
}

fn default_flags(words: &[String]) -> Result<KattisFlags, Misfit> {
    let mut flags = KattisFlags::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut tolerance = || match words.next().and_then(|word| word.parse::<f64>().ok()) {
            Some(amount) if amount.is_finite() && amount >= 0.0 => Ok(Some(amount)),
            _ => {
                Err(Misfit::new(format!("a tolerance behind {word}"), "none", "write a number of 0 or more"))
            }
        };
        match word.as_str() {
            "case_sensitive" => flags.case_sensitive = true,
            "space_change_sensitive" => flags.space_change_sensitive = true,
            "float_absolute_tolerance" => flags.absolute = tolerance()?,
            "float_relative_tolerance" => flags.relative = tolerance()?,
            "float_tolerance" => {
                flags.absolute = tolerance()?;
                flags.relative = flags.absolute;
            }
            other => {
                let hint = "correct the flags, or set `validation: custom`";
                return Err(Misfit::new("flags of the default output validator", clip(other), hint));
            }
        }
    }
    Ok(flags)
}

/// The package's own validator: one program, with its headers put into it.
fn validator(package: &Package, flags: &[String]) -> Result<JudgeProgram, LoadError> {
    let folder = if package.names().any(|name| name.starts_with("output_validators/")) {
        "output_validators"
    } else {
        "output_validator"
    };
    let inside = |name: &&str| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let fail = |found: String| {
        let hint = "leave the package out, or put its validator into one file";
        package.error(folder, None, Misfit::new("one validator, one source in C++ or Python", found, hint))
    };
    if let Some(script) =
        package.names().filter(inside).find(|name| name.ends_with("/build") || name.ends_with("/run"))
    {
        return Err(fail(clip(script)));
    }
    let sources: Vec<(&str, &str)> =
        package.names().filter(inside).filter_map(|name| Some((name, language(name)?))).collect();
    let [(name, language)] = sources[..] else {
        let names: Vec<&str> = sources.iter().map(|(name, _)| *name).collect();
        return Err(fail(if names.is_empty() { "none".to_owned() } else { clip(&names.join(", ")) }));
    };
    let source = match language {
        "cpp17" => with_headers(package, name)?,
        _ => package.text(name)?,
    };
    Ok(JudgeProgram {
        language: language.to_owned(),
        source,
        protocol: Protocol::Kattis,
        arguments: flags.to_vec(),
    })
}

fn language(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "py" | "py3" => Some("python3"),
        "cpp" | "cc" | "cxx" | "c++" | "C" => Some("cpp17"),
        _ => None,
    }
}

/// The source with `#include "header"` replaced by the header beside it, each once: the sandbox takes one file.
fn with_headers(package: &Package, name: &str) -> Result<String, LoadError> {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut whole = String::new();
    let mut seen = vec![name.to_owned()];
    let text = package.text(name)?;
    // Lines still to come, the next one last.
    let mut lines: Vec<String> = text.lines().rev().map(str::to_owned).collect();
    while let Some(line) = lines.pop() {
        let header =
            included(&line).map(|header| format!("{folder}/{header}")).filter(|header| package.has(header));
        match header {
            None => whole.extend([line.as_str(), "\n"]),
            Some(header) if seen.contains(&header) => {}
            Some(header) => {
                lines.extend(package.text(&header)?.lines().rev().map(str::to_owned));
                seen.push(header);
            }
        }
    }
    Ok(whole)
}

fn included(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("include")?;
    rest.trim_start().strip_prefix('"')?.split_once('"').map(|(header, _)| header)
}

/// The points of each folder of tests, as the default grader would give them.
fn groups(package: &Package, tests: &[Test]) -> Result<Vec<TestGroup>, LoadError> {
    let folders = folders(tests);
    let ignore_samples = settings(package, "data")?.map_or(Ok(false), |file| {
        Ok(file
            .text("grader_flags")?
            .unwrap_or_default()
            .split_whitespace()
            .any(|word| word == "ignore_sample"))
    })?;
    let mut groups = Vec::new();
    for folder in &folders {
        let count = tests.iter().filter(|test| test.folder() == *folder).count();
        let mut group = group(package, folder, count)?;
        if ignore_samples && folder.starts_with("data/sample") {
            group.points = 0.0;
        }
        groups.push(group);
        for (at, _) in folder.match_indices('/') {
            added_up(package, &folder[..at])?;
        }
    }
    Ok(groups)
}

/// What groups in a group earn is only ever added up here.
fn added_up(package: &Package, folder: &str) -> Result<(), LoadError> {
    let own =
        ["testdata.yaml", "test_group.yaml"].iter().any(|name| package.has(&format!("{folder}/{name}")));
    let Some(file) = settings(package, folder)?.filter(|_| own) else { return Ok(()) };
    let flags = file.text("grader_flags")?.unwrap_or_default();
    match flags.split_whitespace().find(|word| ["min", "max", "avg"].contains(word)) {
        None => Ok(()),
        Some(word) => Err(file.unknown("grader_flags", "sum where groups stand in a group", word)),
    }
}

fn group(package: &Package, folder: &str, tests: usize) -> Result<TestGroup, LoadError> {
    let file = settings(package, folder)?;
    let name = folder.strip_prefix("data/").unwrap_or(folder).to_owned();
    let Some(file) = file else {
        return Ok(TestGroup { name, tests, points: tests as f64, scoring: Scoring::UntilFailure });
    };
    if let Some(other) = file.text("grading")?.filter(|grading| *grading != "default") {
        return Err(file.unknown("grading", "default", other));
    }
    if file.number("reject_score")?.is_some_and(|score| score != 0.0) {
        return Err(file.unknown("reject_score", "0", file.text("reject_score")?.unwrap_or_default()));
    }
    let score = file.number("accept_score")?.unwrap_or(1.0);
    if score < 0.0 {
        return Err(file.unknown("accept_score", "0 or more", &score.to_string()));
    }
    let on = match file.text("on_reject")?.unwrap_or("break") {
        "break" => Scoring::UntilFailure,
        "continue" => Scoring::Each,
        other => return Err(file.unknown("on_reject", "break or continue", other)),
    };
    let (mut points, mut scoring) = (score * tests as f64, on);
    for word in file.text("grader_flags")?.unwrap_or_default().split_whitespace() {
        match word {
            "sum" => (points, scoring) = (score * tests as f64, on),
            "avg" => (points, scoring) = (score, on),
            "min" => (points, scoring) = (score, Scoring::Worst),
            "max" => return Err(file.unknown("grader_flags", "sum, avg or min", "max")),
            // These decide about the verdict, which is here always that of the tests.
            "worst_error" | "first_error" | "always_accept" | "accept_if_any_accepted" | "ignore_sample" => {}
            other => return Err(file.unknown("grader_flags", "flags of the default grader", other)),
        }
    }
    Ok(TestGroup { name, tests, points, scoring })
}

/// The English statement, or the only one; empty where it is no text.
fn statement(package: &Package) -> Result<String, LoadError> {
    let mut all: Vec<&str> = package
        .names()
        .filter(|name| {
            let file = name.strip_prefix("problem_statement/").or_else(|| name.strip_prefix("statement/"));
            file.is_some_and(|file| {
                file.starts_with("problem.") && (file.ends_with(".tex") || file.ends_with(".md"))
            })
        })
        .collect();
    let english = |name: &&str| {
        !(name.contains(".en.") || name.ends_with("/problem.tex") || name.ends_with("/problem.md"))
    };
    all.sort_by_key(english);
    all.first().map_or(Ok(String::new()), |name| package.text(name))
}
