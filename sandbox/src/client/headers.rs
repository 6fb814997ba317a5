//! Precompiled headers: `<bits/stdc++.h>` takes most of the time that compiling a contest program does. One per compiler
//! and set of flags is made behind the walls, in a slot that no guest's source has been in, from nothing but the header
//! itself; it is kept in a directory that only this user can write, and compilers see it read-only.
//!
//! It is offered to a source that begins with the include, comments aside, and names the header nowhere else: there
//! the compiler takes it, and does what it would have done. (It takes none after other code, pragmas or macros, and then
//! its messages would name our directory instead of its own.) Beside it lies the header itself, should the compiler
//! not take it all the same.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, TryLockError};

use crate::shelves::shrink;
use crate::{SandboxError, image};

/// Headers kept at most; the one made longest ago goes. Each has some 100 MB.
const MOST: usize = 8;

/// The directory with all of them.
#[derive(Debug)]
pub(super) struct Headers {
    directory: PathBuf,
    /// Those known to be there. Held while one is made: whoever comes meanwhile compiles without.
    ready: Mutex<Vec<String>>,
}

impl Headers {
    /// Opens the directory, made if it is not there.
    pub(super) fn open(cache: &Path) -> Result<Headers, SandboxError> {
        let directory = own_directory(cache, NAME)?;
        Ok(Headers { directory, ready: Mutex::default() })
    }

    /// Where a compiler finds the header of this key, made by `make` if it is not there yet. `None` where it cannot be
    /// had now: it saves time, and that is all.
    pub(super) fn get(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<Header, SandboxError>,
    ) -> Option<String> {
        let mut ready = match self.ready.try_lock() {
            Ok(ready) => ready,
            Err(TryLockError::Poisoned(ready)) => ready.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        if !ready.iter().any(|known| known == key) {
            let file = self.directory.join(key).join(PRECOMPILED);
            // Read once here, it is in this process's share of the page cache and in no run's.
            let there = File::open(&file).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
            if there.is_err() {
                let header = make().ok()?;
                self.keep(key, &header).ok()?;
            }
            ready.push(key.into());
        }
        Some(format!("{SHOWN}/{key}"))
    }

    fn keep(&self, key: &str, header: &Header) -> io::Result<()> {
        let file = self.directory.join(key).join(PRECOMPILED);
        let parent = file.parent().unwrap_or(&self.directory);
        make_directory(parent)?;
        // Whole or not at all, whoever else makes the same one.
        let unfinished = parent.join(format!(".{}", std::process::id()));
        fs::copy(&header.path, self.directory.join(key).join(HEADER))?;
        image::copy(&header.precompiled, &mut File::create(&unfinished)?)?;
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o644))?;
        fs::rename(&unfinished, &file)?;
        shrink(&self.directory, key, MOST, |path| fs::remove_dir_all(path))
    }
}

/// Below the cache.
pub(crate) const NAME: &str = "headers";
/// Where compilers see it.
pub(crate) const SHOWN: &str = "/headers";
/// What the compiler looks for, below a directory that it is told to look in first.
const PRECOMPILED: &str = "bits/stdc++.h.gch";
const HEADER: &str = "bits/stdc++.h";

/// A header that was precompiled.
pub(super) struct Header {
    /// Where the compiler has it, on the host as in the box.
    pub(super) path: String,
    pub(super) precompiled: OwnedFd,
}

/// Whether a source begins with the include, comments aside, and names the header nowhere else.
pub(super) fn begins(source: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(source) else { return false };
    let mut rest = text.trim_start();
    loop {
        let end = match rest.get(..2) {
            Some("//") => rest.find('\n'),
            Some("/*") => rest.find("*/").map(|at| at + 2),
            _ => break,
        };
        rest = rest[end.unwrap_or(rest.len())..].trim_start();
    }
    let include =
        |rest: &str| Some(rest.strip_prefix('#')?.trim_start().strip_prefix("include")?.trim_start().len());
    let at = include(rest).map(|length| &rest[rest.len() - length..]);
    let line = at
        .and_then(|at| at.strip_prefix("<bits/stdc++.h>"))
        .and_then(|tail| tail.lines().next().or(Some("")));
    line.map(str::trim).is_some_and(|tail| tail.is_empty() || tail.starts_with("//"))
        && text.matches(HEADER).count() == 1
}

/// A directory below the cache, made if it is not there, that nobody else can write.
pub(super) fn own_directory(cache: &Path, name: &str) -> Result<PathBuf, SandboxError> {
    let fault = |text: String| SandboxError::Invalid(format!("the cache {}: {text}", cache.display()));
    let directory = cache.join(name);
    make_directory(&directory).map_err(|error| fault(error.to_string()))?;
    for path in [cache, &directory] {
        let metadata = path.metadata().map_err(|error| fault(error.to_string()))?;
        let own = metadata.uid() == nix::unistd::geteuid().as_raw();
        if !own || metadata.permissions().mode() & 0o022 != 0 {
            return Err(fault("must belong to this user, and nobody else may write there".into()));
        }
    }
    Ok(directory)
}

/// Guests are other users, and may read what is shown to them.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// The header's path as the compiler's list of a source's parts names it.
pub(super) fn in_list(list: &[u8]) -> Option<String> {
    let list = String::from_utf8_lossy(list);
    list.split_whitespace().find(|path| path.ends_with("/bits/stdc++.h")).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Result<Header, SandboxError> {
        Ok(Header {
            path: file!().replace("sandbox/", ""),
            precompiled: image::sealed(&b"header"[..]).unwrap(),
        })
    }

    #[test]
    fn only_sources_that_begin_with_the_header_get_it() {
        for (source, begins_with_it) in [
            ("#include <bits/stdc++.h>\nint main() {}", true),
            ("/* a */ // b\n\n  #  include  <bits/stdc++.h>  \r\nint x;", true),
            ("#include <bits/stdc++.h>", true),
            ("#include <bits/stdc++.h> // all", true),
            ("#include <bits/stdc++.h> int x;", false),
            ("#include <bits/stdc++.h>\n#include <bits/stdc++.h>", false),
            ("#include <cstdio>\n#include <bits/stdc++.h>", false),
            ("#define x\n#include <bits/stdc++.h>", false),
            ("#pragma GCC optimize(\"O3\")\n#include <bits/stdc++.h>", false),
            ("#include \"bits/stdc++.h\"", false),
            ("#include_next <bits/stdc++.h>", false),
            ("int x; /* #include <bits/stdc++.h> */", false),
            ("/* #include <bits/stdc++.h>", false),
            ("", false),
        ] {
            assert_eq!(begins(source.as_bytes()), begins_with_it, "{source}");
        }
    }

    #[test]
    fn a_header_is_made_once_and_few_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let headers = Headers::open(place.path()).unwrap();
        assert_eq!(headers.get("a", header).as_deref(), Some("/headers/a"));
        let never = || panic!("it is there");
        assert_eq!(headers.get("a", never).as_deref(), Some("/headers/a"));
        assert_eq!(Headers::open(place.path()).unwrap().get("a", never).as_deref(), Some("/headers/a"));
        for key in 0..MOST {
            headers.get(&key.to_string(), header).unwrap();
        }
        assert!(!place.path().join("headers/a").exists());
        assert_eq!(place.path().join("headers").read_dir().unwrap().count(), MOST);
        let broken = || Err(SandboxError::Unavailable(String::new()));
        assert_eq!(headers.get("b", broken), None);
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Headers::open(place.path()).is_err());
    }

    #[test]
    fn the_header_is_found_in_the_compilers_list() {
        let list =
            b"main.o: main.cpp /usr/include/stdc-predef.h \\\n /usr/include/c++/12/bits/stdc++.h \\\n /x";
        assert_eq!(in_list(list).as_deref(), Some("/usr/include/c++/12/bits/stdc++.h"));
        assert_eq!(in_list(b""), None);
    }
}
