//! What is refused before anything is started: the caller's mistakes, each with what was expected and what came.

use super::job::all_args;
use crate::judge::check_files;
use crate::language::Engine;
use crate::{Judge, Limits, Program, SandboxError};

pub(super) fn check_program(program: &Program) -> Result<(), SandboxError> {
    let most = match program.language.entry().engine {
        Engine::Wasm if program.language.entry().is_module() => Program::MAX_MODULE,
        _ => Program::MAX_SOURCE,
    };
    if program.source.len() > most {
        return Err(SandboxError::Invalid(format!(
            "the {} source has {} bytes; at most {most} are accepted",
            program.language.name(),
            program.source.len()
        )));
    }
    check_args(&program.args)
}

pub(super) fn check_judge(judge: &Judge<'_>) -> Result<(), SandboxError> {
    check_limits(judge.limits)?;
    check_args(&all_args(judge))?;
    check_files(judge.files)
}

pub(super) fn check_args(args: &[String]) -> Result<(), SandboxError> {
    if let Some(arg) = args.iter().find(|arg| arg.contains('\0')) {
        return Err(SandboxError::Invalid(format!("the argument {arg:?} holds a NUL byte")));
    }
    let length: usize = args.iter().map(|arg| arg.len() + 1).sum();
    if length > 64 << 10 {
        return Err(SandboxError::Invalid(format!(
            "the arguments have {length} bytes; at most 65536 are accepted"
        )));
    }
    Ok(())
}

/// Refuses limits under which nothing could run, and such as overflow.
pub(super) fn check_limits(limits: &Limits) -> Result<(), SandboxError> {
    const DAY: u64 = 24 * 3600;
    let checks: [(&str, u64, u64, u64, &str); 7] = [
        ("cpu_time", limits.cpu_time.as_millis() as u64, 1, DAY * 1000, "milliseconds"),
        ("wall_time", limits.wall_time.as_millis() as u64, 1, DAY * 1000, "milliseconds"),
        ("memory", limits.memory, 4 << 20, 1 << 46, "bytes"),
        ("stack", if limits.stack == u64::MAX { 1 << 20 } else { limits.stack }, 64 << 10, 1 << 46, "bytes"),
        ("output", limits.output, 0, 1 << 40, "bytes"),
        ("processes", limits.processes.into(), 1, 1 << 15, "processes"),
        ("open_files", limits.open_files.into(), 8, 1 << 16, "descriptors"),
    ];
    for (name, value, least, most, unit) in checks {
        if value < least || value > most {
            return Err(SandboxError::Invalid(format!(
                "limit {name} is {value} {unit}; it must be from {least} to {most}"
            )));
        }
    }
    Ok(())
}
