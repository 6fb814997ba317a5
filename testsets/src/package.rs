//! The files of one problem package, in a folder or in a zip archive, by their names below the package.
//!
//! A package is somebody else's: links that lead out of it are refused, since they would show a submission files of this
//! machine, and all that is read of it stays below one cap.

use crate::error::{LoadError, Misfit, Place, clip};
use crate::records::unreadable;
use crate::zip::Zip;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Deepest folders below a package, and most files in it.
const MAX_DEPTH: usize = 12;
const MAX_FILES: usize = 100_000;

#[derive(Debug)]
pub(crate) struct Package {
    path: PathBuf,
    names: BTreeSet<String>,
    archive: Option<Archive>,
    /// Bytes that may still be read.
    left: Cell<usize>,
}

#[derive(Debug)]
struct Archive {
    zip: Zip,
    /// What stands before every name, such as `name/`.
    root: String,
}

impl Package {
    /// Opens a folder or an archive; `cap` bounds all bytes that are read of it.
    pub(crate) fn open(path: &Path, cap: usize) -> Result<Package, LoadError> {
        let left = Cell::new(cap);
        if path.is_dir() {
            let names = walk(path)?;
            return Ok(Package { path: path.to_owned(), names, archive: None, left });
        }
        let length = fs::metadata(path).map_err(|error| unreadable(path, None, &error))?.len();
        if length > cap as u64 {
            let found = format!("one of {length} bytes");
            let hint = "unpack it and give the folder";
            let misfit = Misfit::new(format!("an archive of at most {cap} bytes"), found, hint);
            return Err(LoadError { file: path.to_owned(), place: None, misfit });
        }
        let bytes = fs::read(path).map_err(|error| unreadable(path, None, &error))?;
        let fail = |misfit| LoadError { file: path.to_owned(), place: None, misfit };
        let zip = Zip::open(bytes).map_err(fail)?;
        let head = zip.names().filter_map(|name| name.strip_suffix("problem.yaml"));
        let root = head.filter(|root| root.is_empty() || root.ends_with('/')).min_by_key(|root| root.len());
        let Some(root) = root.map(str::to_owned) else {
            let misfit =
                Misfit::new("a problem package with a problem.yaml", "an archive without one", WHICH);
            return Err(fail(misfit));
        };
        let names = zip.names().filter_map(|name| name.strip_prefix(&root)).map(str::to_owned).collect();
        Ok(Package { path: path.to_owned(), names, archive: Some(Archive { zip, root }), left })
    }

    /// What the package is called: its folder, or the folder in the archive, or the archive.
    pub(crate) fn name(&self) -> String {
        let inside =
            self.archive.as_ref().and_then(|archive| archive.root.trim_end_matches('/').rsplit('/').next());
        match inside.filter(|name| !name.is_empty()) {
            Some(name) => name.to_owned(),
            None => {
                let whole = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
                let name = if self.path.is_dir() { whole.file_name() } else { whole.file_stem() };
                name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            }
        }
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// A file's text.
    pub(crate) fn text(&self, name: &str) -> Result<String, LoadError> {
        let bytes = match &self.archive {
            Some(archive) => archive
                .zip
                .read(&format!("{}{name}", archive.root), self.left.get())
                .map_err(|misfit| self.error(name, None, misfit))?,
            None => self.read(name)?,
        };
        self.left.set(self.left.get().saturating_sub(bytes.len()));
        String::from_utf8(bytes).map_err(|error| {
            let found = error.utf8_error().to_string();
            self.error(name, None, Misfit::new("text in UTF-8", found, "convert the file to UTF-8"))
        })
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, LoadError> {
        let path = self.path.join(name);
        let length = fs::metadata(&path).map_err(|error| unreadable(&path, None, &error))?.len();
        if length > self.left.get() as u64 {
            let misfit = Misfit::new(
                format!("a package of which at most {} bytes more are read", self.left.get()),
                format!("{length} in this file"),
                "drop the package: no real one is so large",
            );
            return Err(self.error(name, None, misfit));
        }
        fs::read(&path).map_err(|error| unreadable(&path, None, &error))
    }

    /// The error for a file of this package.
    pub(crate) fn error(&self, name: &str, line: Option<u64>, misfit: Misfit) -> LoadError {
        LoadError { file: self.path.join(name), place: line.map(|line| Place { line, record: 1 }), misfit }
    }
}

const WHICH: &str = "give the folder that holds problem.yaml, or one that holds such folders";

/// Whether this is a folder or begins as a zip archive does.
pub(crate) fn is_package(path: &Path) -> bool {
    let mut head = [0; 4];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    path.is_dir() || read.is_ok() && head == *b"PK\x03\x04"
}

/// All files of all packages in a folder, with names that say which.
pub(crate) fn files(path: &Path) -> Result<Vec<(String, PathBuf)>, LoadError> {
    let mut files = Vec::new();
    for package in packages(path)? {
        let head = package.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.extend(walk(&package)?.into_iter().map(|name| (format!("{head}/{name}"), package.join(name))));
    }
    Ok(files)
}

/// The packages a folder stands for: itself, or those in it. An archive is one.
pub(crate) fn packages(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    if !path.is_dir() || path.join("problem.yaml").is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| unreadable(path, None, &error))?;
    let mut found = Vec::new();
    for entry in entries {
        let inside = entry.map_err(|error| unreadable(path, None, &error))?.path();
        if inside.join("problem.yaml").is_file() {
            found.push(inside);
        }
    }
    found.sort();
    match found.is_empty() {
        false => Ok(found),
        true => {
            let misfit = Misfit::new("a problem package with a problem.yaml", "a folder without one", WHICH);
            Err(LoadError { file: path.to_owned(), place: None, misfit })
        }
    }
}

/// The folders of a package that say how a program is judged.
const FOLDERS: [&str; 5] =
    ["data", "output_validators", "output_validator", "problem_statement", "statement"];

fn walk(root: &Path) -> Result<BTreeSet<String>, LoadError> {
    let whole = root.canonicalize().map_err(|error| unreadable(root, None, &error))?;
    let mut names = BTreeSet::new();
    let mut open = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = open.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| unreadable(&folder, None, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder, None, &error))?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if depth == 0 && name != "problem.yaml" && !FOLDERS.contains(&name.as_str()) {
                continue;
            }
            let refuse = |expected: &str, hint| {
                let misfit = Misfit::new(expected, clip(&name), hint);
                LoadError { file: path.clone(), place: None, misfit }
            };
            let target = path.canonicalize().map_err(|error| unreadable(&path, None, &error))?;
            if !target.starts_with(&whole) {
                return Err(refuse("links inside the package", "put the file itself where the link is"));
            }
            if target.is_file() {
                names.insert(format!("{prefix}{name}"));
            } else if target.is_dir() && depth < MAX_DEPTH {
                open.push((path.clone(), format!("{prefix}{name}/"), depth + 1));
            } else {
                return Err(refuse("files in a few folders", "remove what is no file, or what is so deep"));
            }
            if names.len() > MAX_FILES {
                return Err(refuse("at most 100000 files in a package", "leave files out"));
            }
        }
    }
    Ok(names)
}
