//! Under what conditions verdicts were made: what must agree for two runs to be comparable.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use assay_sandbox::{Doctor, Limits};
use assay_testsets::{Format, LoadError, file_sha256};
use serde_json::{Map, Value, json};

use crate::judge::JudgeOptions;
use crate::math::ToleranceRule;

/// The record that stands in every report: assay's version, the sandbox's tier, interpreter and compiler with
/// their versions, the rules and limits, and the hashes of what was read. `doctor` is `None` where no sandbox
/// was needed, `completions` where they come from no file.
///
/// # Errors
/// When a file cannot be read.
pub fn record(
    problems: (&Path, Format),
    completions: Option<&Path>,
    options: &JudgeOptions,
    doctor: Option<&Doctor>,
) -> Result<Value, LoadError> {
    Ok(json!({
        "assay": env!("CARGO_PKG_VERSION"),
        "profile": options.profile.name(),
        "extraction": options.extraction().name(),
        "math_profile": options.math.name(),
        "math_tolerance": options.tolerance.map(ToleranceRule::text),
        "prelude": options.prelude(),
        "limits": limits(&options.limits_for(&assay_testsets::TaskLimits::default())),
        "limits_forced": forced(options),
        "problems": file(problems.0, Some(problems.1))?,
        "completions": completions.map(|path| file(path, None)).transpose()?,
        "tier": doctor.and_then(|doctor| doctor.tier).map(|tier| format!("{tier:?}")),
        "languages": doctor.map(languages),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
    }))
}

/// Limits in seconds and bytes.
fn limits(limits: &Limits) -> Value {
    json!({
        "cpu_time": limits.cpu_time.as_secs_f64(),
        "wall_time": limits.wall_time.as_secs_f64(),
        "memory": limits.memory,
        "stack": limits.stack,
        "output": limits.output,
        "processes": limits.processes,
        "open_files": limits.open_files,
    })
}

/// Those limits of the caller that go before a problem's own.
fn forced(options: &JudgeOptions) -> Vec<&'static str> {
    let given = options.limits;
    let all = [
        ("cpu_time", given.cpu_time.is_some()),
        ("wall_time", given.wall_time.is_some()),
        ("memory", given.memory.is_some()),
        ("output", given.output.is_some()),
    ];
    all.into_iter().filter(|(_, forced)| *forced).map(|(name, _)| name).collect()
}

/// A file by its name and content; where it lies does not matter.
fn file(path: &Path, format: Option<Format>) -> Result<Value, LoadError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut record = Map::new();
    record.insert("file".into(), json!(name));
    record.insert("sha256".into(), json!(file_sha256(path)?));
    if let Some(format) = format {
        record.insert("format".into(), json!(format.name()));
    }
    Ok(Value::Object(record))
}

/// Each language's tool: its version, and the hash of those that most programs run by.
pub(crate) fn languages(doctor: &Doctor) -> Value {
    let states = doctor.languages.iter().map(|state| {
        let program = match state.language.name() {
            "python3" => on_path("python3"),
            "cpp17" => on_path("g++"),
            _ => None,
        };
        let sha256 = program.and_then(|path| file_sha256(&path).ok());
        (state.language.name().to_owned(), json!({ "version": state.version, "sha256": sha256 }))
    });
    Value::Object(states.collect())
}

/// The program that `PATH` finds, links followed.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find_map(|file| fs::canonicalize(file).ok())
}
