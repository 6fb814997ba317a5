//! A judge's program: a checker or an interactor, with what it is shown and the program under test never is.
//!
//! It is the problem's author's, so it runs behind the same walls as any program; but what it is shown (a test's
//! answer, above all) is a secret. So its slot is never one in which a program under test runs, before or after.

use crate::{Executable, Limits, SandboxError};

/// A program of the problem's author, with its arguments, files and limits; for
/// [`Sandbox::check`](crate::Sandbox::check) and [`Sandbox::interact`](crate::Sandbox::interact).
///
/// Nothing that it could write to is offered but stdout and stderr: what a checker has to say beside its exit code it
/// prints. What an exit code means is the caller's to know.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// What is run.
    pub executable: &'a Executable,
    /// Arguments, after those of its [`Program`](crate::Program); the names of files among them, where it wants them.
    pub args: &'a [&'a str],
    /// Files in its working directory.
    pub files: &'a [InputFile<'a>],
    /// Its own budget.
    pub limits: &'a Limits,
}

/// A read-only file in a program's working directory (`/box`), there for one run only.
///
/// Its bytes count neither towards `Limits::memory` nor towards `Usage::peak_memory`, unless the program keeps a copy.
#[derive(Debug, Clone, Copy)]
pub struct InputFile<'a> {
    /// 1 to [`InputFile::MAX_NAME`] of `A-Z a-z 0-9 . _ -`, not a `.` or `-` first, and not `main` before the first
    /// dot in any case of letters: that is the source.
    pub name: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
}

impl InputFile<'_> {
    /// Most files of one run.
    pub const MAX_FILES: usize = 16;
    /// Longest name, in bytes.
    pub const MAX_NAME: usize = 64;
    /// Most bytes of all files of one run together: an input, an output and an answer of 64 MiB, and as much again.
    pub const MAX_BYTES: usize = 384 << 20;
}

/// Refuses files that a slot could not show.
pub(crate) fn check_files(files: &[InputFile<'_>]) -> Result<(), SandboxError> {
    let most = InputFile::MAX_FILES;
    if files.len() > most {
        return Err(SandboxError::Invalid(format!("{} files; at most {most} are accepted", files.len())));
    }
    let bytes = files.iter().map(|file| file.bytes.len()).fold(0, usize::saturating_add);
    if bytes > InputFile::MAX_BYTES {
        return Err(SandboxError::Invalid(format!(
            "the files have {bytes} bytes; at most {} are accepted",
            InputFile::MAX_BYTES
        )));
    }
    for (index, file) in files.iter().enumerate() {
        if !is_plain(file.name) {
            return Err(SandboxError::Invalid(format!(
                "{:?} cannot be a file's name: 1 to {} of A-Z a-z 0-9 . _ -, no `.` or `-` first, and not `main`",
                file.name,
                InputFile::MAX_NAME
            )));
        }
        if files[..index].iter().any(|other| other.name == file.name) {
            return Err(SandboxError::Invalid(format!("two files are called {:?}", file.name)));
        }
    }
    Ok(())
}

fn is_plain(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let stem = name.split('.').next().unwrap_or_default();
    (1..=InputFile::MAX_NAME).contains(&name.len())
        && name.bytes().all(known)
        && !name.starts_with(['.', '-'])
        && !stem.eq_ignore_ascii_case("main")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_or_refused() {
        let longest = "x".repeat(InputFile::MAX_NAME);
        for good in ["input", "input.txt", "1.in", "a-b_C.00", "mainly.txt", longest.as_str()] {
            assert!(is_plain(good), "{good}");
        }
        let longer = "x".repeat(InputFile::MAX_NAME + 1);
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "/x",
            "a/b",
            "x/..",
            ".hidden",
            "-o",
            "main",
            "main.py",
            "Main.java",
            "MAIN.x",
            "a b",
            "a\0",
            "a\n",
            "\u{fc}",
            "~",
            longer.as_str(),
        ] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }

    #[test]
    fn files_are_few_and_unlike() {
        let file = |name| InputFile { name, bytes: b"" };
        let names: Vec<String> = (0..=InputFile::MAX_FILES).map(|number| format!("{number}.in")).collect();
        let files: Vec<InputFile<'_>> = names.iter().map(|name| file(name.as_str())).collect();
        assert!(check_files(&files[..InputFile::MAX_FILES]).is_ok());
        assert!(check_files(&files).is_err(), "too many");
        assert!(check_files(&[file("a"), file("b"), file("a")]).is_err(), "two alike");
        let large = vec![0; InputFile::MAX_BYTES / 2 + 1];
        let half = |name| InputFile { name, bytes: &large };
        assert!(check_files(&[half("a")]).is_ok());
        assert!(check_files(&[half("a"), half("b")]).is_err(), "too large together");
    }
}
