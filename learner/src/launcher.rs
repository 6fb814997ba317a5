//! Which program computes: this one on the CPU, or its twin built with CUDA, where that finds a GPU.
//!
//! A program linked with CUDA does not start where there is no driver. So the one people start is built without it, and looks
//! for `assay-train-cuda` beside itself: it asks that to open a GPU, and becomes it where it can. Where it cannot, one
//! sentence says why, and the CPU computes.

use std::path::PathBuf;

use crate::cuda::Stored;

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// The first GPU, or else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The first GPU, or not at all.
    Cuda,
}

/// Settles where this process computes, or becomes another process; the words of `say` are for whoever started it.
///
/// # Errors
/// A GPU was demanded, and there is none that can be used: why.
pub(crate) fn settle(choice: Choice, stored: Stored, say: impl Fn(&str)) -> Result<(), String> {
    if choice == Choice::Cpu {
        return Ok(());
    }
    match open(stored) {
        Ok(()) => Ok(()),
        Err(Refused::NoTwin(_)) if choice == Choice::Auto => Ok(()),
        Err(Refused::NoGpu(why)) if choice == Choice::Auto => {
            say(&format!("computing on the CPU, as no GPU can be used: {why}"));
            Ok(())
        }
        Err(Refused::NoTwin(why) | Refused::NoGpu(why)) => Err(format!("--device cuda: {why}")),
    }
}

/// The program that becomes a verifier; none is this one. Of the two it is the one without CUDA: the sandbox starts it again
/// where there are no libraries of a driver.
pub(crate) fn verifier() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name("assay-train");
    (cfg!(feature = "cuda") && beside.is_file()).then_some(beside)
}

#[cfg_attr(feature = "cuda", allow(dead_code, reason = "the CUDA build looks for no twin"))]
enum Refused {
    NoTwin(String),
    NoGpu(String),
}

#[cfg(feature = "cuda")]
fn open(stored: Stored) -> Result<(), Refused> {
    crate::cuda::use_gpu(stored).map(drop).map_err(Refused::NoGpu)
}

/// Returns only if this process is to compute.
#[cfg(not(feature = "cuda"))]
fn open(_: Stored) -> Result<(), Refused> {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    let no_gpu = |what: &dyn std::fmt::Display| Refused::NoGpu(what.to_string());
    let twin = std::env::current_exe().map_err(|error| no_gpu(&error))?.with_file_name("assay-train-cuda");
    if !twin.is_file() {
        let what = "this program is built without CUDA, and assay-train-cuda is not beside it";
        return Err(Refused::NoTwin(format!("{what}; learner/cuda-build.sh makes both")));
    }
    let mut probe = Command::new(&twin);
    probe.args(["device", "--device", "cuda"]).stdin(Stdio::null());
    let answer = probe.output().map_err(|error| no_gpu(&format!("{}: {error}", twin.display())))?;
    if !answer.status.success() {
        return Err(no_gpu(&last_words(&String::from_utf8_lossy(&answer.stderr), &answer.status)));
    }
    Err(no_gpu(&Command::new(&twin).args(std::env::args_os().skip(1)).exec()))
}

/// Why a probe failed: its last line, without the names of programs that the loader and we put before it.
#[cfg(not(feature = "cuda"))]
fn last_words(said: &str, status: &std::process::ExitStatus) -> String {
    let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let after = |marker: &str| line.split_once(marker).map(|(_, rest)| rest);
    let words = after("error while loading shared libraries: ").or(after("--device cuda: ")).unwrap_or(line);
    if words.is_empty() { format!("assay-train-cuda ended with {status}") } else { words.to_owned() }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_failed_probe_says_why_in_one_line() {
        use std::os::unix::process::ExitStatusExt as _;
        let failed = std::process::ExitStatus::from_raw(127 << 8);
        let loader = "/opt/assay-train-cuda: error while loading shared libraries: libcuda.so.1: cannot open shared object file";
        for (said, expected) in [
            (loader, "libcuda.so.1: cannot open shared object file"),
            ("warning\nassay-train: --device cuda: no device\n\n", "no device"),
            ("Illegal instruction", "Illegal instruction"),
            ("", "assay-train-cuda ended with exit status: 127"),
        ] {
            assert_eq!(super::last_words(said, &failed), expected);
        }
    }
}
