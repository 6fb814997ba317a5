//! A directory of a run's own, in which a program finds files and leaves some: for callers that want more of a program than what
//! it prints.
//!
//! It is the working directory, `/tmp` inside, a small file system of memory that is made for the run and gone after it. So such a
//! run takes a slot of the cold class, as runtimes do, and its interpreter is started anew. What is taken out is taken when every
//! process of the run is dead: regular files alone, by their paths beneath that directory, and no link is followed. Its bytes are
//! the program's, and as good as what it prints.

use crate::SandboxError;

/// What lies in a run's directory before it, and what is wanted of it afterwards.
///
/// Paths are relative, of 1 to [`Workplace::MAX_PATH`] bytes, without empty parts and without `.` and `..` among them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Workplace<'a> {
    /// Paths and contents. The program may change and remove them. They do not count towards `Limits::memory`; what it writes
    /// does.
    pub files: &'a [(&'a str, &'a [u8])],
    /// Paths of files to take out, whatever the run's end.
    pub fetch: &'a [&'a str],
}

/// The contents of what was to be fetched, in that order; `None` where the program left no regular file.
pub type Fetched = Vec<Option<Vec<u8>>>;

impl Workplace<'_> {
    /// Most files put there, and most taken out.
    pub const MAX_FILES: usize = 64;
    /// Most bytes of all files put there; with what the program writes there is room for 16 MiB.
    pub const MAX_BYTES: usize = 12 << 20;
    /// Longest path, in bytes.
    pub const MAX_PATH: usize = 255;
}

/// Refuses what a slot could not show or take.
pub(crate) fn check(place: &Workplace<'_>) -> Result<(), SandboxError> {
    let refuse = |text: String| Err(SandboxError::Invalid(text));
    let most = Workplace::MAX_FILES;
    for (what, count) in [("files", place.files.len()), ("files to fetch", place.fetch.len())] {
        if count > most {
            return refuse(format!("{count} {what}; at most {most} are accepted"));
        }
    }
    let bytes = place.files.iter().map(|(_, content)| content.len()).fold(0, usize::saturating_add);
    if bytes > Workplace::MAX_BYTES {
        let most = Workplace::MAX_BYTES;
        return refuse(format!("the files have {bytes} bytes; at most {most} are accepted"));
    }
    let paths = place.files.iter().map(|(path, _)| *path);
    if let Some(bad) = paths.clone().chain(place.fetch.iter().copied()).find(|path| !is_plain(path)) {
        return refuse(format!(
            "{bad:?} cannot be a file's path: 1 to {} bytes, relative, with no empty part and no `.` or `..` among its parts",
            Workplace::MAX_PATH
        ));
    }
    let mut sorted: Vec<&str> = paths.collect();
    sorted.sort_unstable();
    let below = |directory: &str, path: &str| {
        path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    for (index, path) in sorted.iter().enumerate() {
        if let Some(other) = sorted[index + 1..].iter().find(|other| below(path, other)) {
            return refuse(format!("{path:?} and {other:?} cannot both be files"));
        }
    }
    Ok(())
}

fn is_plain(path: &str) -> bool {
    (1..=Workplace::MAX_PATH).contains(&path.len())
        && !path.contains('\0')
        && path.split('/').all(|part| !["", ".", ".."].contains(&part))
}

/// A name for the program's own file that none of the caller's has.
pub(crate) fn free_name(name: &str, place: &Workplace<'_>) -> String {
    let mut free = name.to_owned();
    while place.files.iter().any(|(path, _)| path.split('/').next() == Some(&free)) {
        free.insert(0, '_');
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(files: &[&str], fetch: &[&str]) -> bool {
        let files: Vec<(&str, &[u8])> = files.iter().map(|path| (*path, &b""[..])).collect();
        check(&Workplace { files: &files, fetch }).is_ok()
    }

    #[test]
    fn paths_stay_below_or_are_refused() {
        for good in ["a", "a/b/c.txt", "...", ".hidden", "\u{e9}/x y", "-o", "a..b"] {
            assert!(checked(&[good], &[good]), "{good:?}");
        }
        let long = "x".repeat(Workplace::MAX_PATH + 1);
        for bad in ["", "/a", "/", "..", "../a", "a/../b", "a//b", "a/", "./a", ".", "a\0b", &long] {
            assert!(!checked(&[bad], &[]) && !checked(&[], &[bad]), "{bad:?}");
        }
    }

    #[test]
    fn no_path_is_file_and_directory() {
        assert!(checked(&["a/b", "a/c", "ab", "a.b"], &["a", "a"]));
        for bad in [["a", "a"], ["a", "a/b"], ["a/b/c", "a/b"]] {
            assert!(!checked(&bad, &[]), "{bad:?}");
        }
        assert!(!checked(&["a", "a-", "a/b"], &[]));
    }

    #[test]
    fn a_source_takes_nobodys_name() {
        let files: [(&str, &[u8]); 2] = [("main.py", b""), ("_main.py/x", b"")];
        let place = Workplace { files: &files, fetch: &[] };
        assert_eq!(free_name("main.py", &place), "__main.py");
        assert_eq!(free_name("main.js", &place), "main.js");
    }
}
