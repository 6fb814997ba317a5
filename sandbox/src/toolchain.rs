//! Which interpreter and compiler there are, and which trees each needs to be shown.
//!
//! `python3` of a PATH is often a shell shim; the interpreter itself is asked where it is, where its library is and
//! which shared objects it maps. Nothing guest-given is run here.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::protocol::Root;

/// The environment variable that names the interpreter to use.
pub(crate) const PYTHON_VARIABLE: &str = "ASSAY_PYTHON";
/// The environment variable that names the C++ compiler to use.
pub(crate) const COMPILER_VARIABLE: &str = "ASSAY_CXX";

/// An interpreter and what it needs.
#[derive(Debug, Clone)]
pub(crate) struct Python {
    pub(crate) program: PathBuf,
    pub(crate) root: Root,
}

/// A compiler and what it needs.
#[derive(Debug, Clone)]
pub(crate) struct Compiler {
    pub(crate) program: PathBuf,
    pub(crate) root: Root,
    pub(crate) link_static: bool,
}

/// What the interpreter says of itself.
#[derive(Deserialize)]
struct Facts {
    executable: PathBuf,
    path: Vec<PathBuf>,
    prefixes: Vec<PathBuf>,
    mapped: Vec<PathBuf>,
    version: (u32, u32),
}

const ASK: &str = "import sys, os, json
path = [p for p in sys.path if p]
for name in ('ssl', 'ctypes', 'sqlite3', 'bz2', 'lzma', 'zlib', 'readline', 'uuid', 'decimal'):
    try: __import__(name)
    except ImportError: pass
with open('/proc/self/maps') as f: maps = {line.split(None, 5)[5].strip() for line in f if '.so' in line}
print(json.dumps(dict(executable=os.path.realpath(getattr(sys, '_base_executable', sys.executable)), path=path,
    prefixes=[sys.prefix, sys.base_prefix], mapped=sorted(maps), version=sys.version_info[:2])))";

/// Finds the interpreter: the one asked for, or `python3` of PATH, or /usr/bin/python3. The error says what to do.
pub(crate) fn find_python(readable_by_all: bool) -> Result<Python, String> {
    let asked = std::env::var_os(PYTHON_VARIABLE).map(PathBuf::from);
    let candidates = match asked {
        Some(path) => vec![path],
        None => {
            [on_path("python3"), vec!["/usr/bin/python3".into(), "/usr/local/bin/python3".into()]].concat()
        }
    };
    let mut reasons = Vec::new();
    for candidate in candidates {
        match ask(&candidate) {
            Ok(facts) if facts.version < (3, 8) => {
                reasons.push(format!("{}: older than 3.8", candidate.display()));
            }
            Ok(facts) => match describe(&facts, readable_by_all) {
                Ok(python) => return Ok(python),
                Err(error) => reasons.push(format!("{}: {error}", candidate.display())),
            },
            Err(error) => reasons.push(format!("{}: {error}", candidate.display())),
        }
    }
    let detail = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    Err(format!("no usable python3{detail}: install the package python3, or name one in {PYTHON_VARIABLE}"))
}

/// Finds the compiler. The error says what to do.
pub(crate) fn find_compiler() -> Result<Compiler, String> {
    let candidates = match std::env::var_os(COMPILER_VARIABLE) {
        Some(path) => vec![PathBuf::from(path)],
        None => on_path("g++"),
    };
    let program = candidates
        .iter()
        .find_map(|path| path.canonicalize().ok())
        .ok_or_else(|| format!("no g++: install the package g++, or name one in {COMPILER_VARIABLE}"))?;
    let static_library = output(Command::new(&program).args(["-print-file-name=libstdc++.a"]));
    let static_c = output(Command::new(&program).args(["-print-file-name=libc.a"]));
    let found = |answer: io::Result<String>| answer.is_ok_and(|path| path.trim().starts_with('/'));
    Ok(Compiler {
        link_static: found(static_library) && found(static_c),
        root: compiler_root(&program),
        program,
    })
}

fn ask(candidate: &Path) -> io::Result<Facts> {
    let text = output(Command::new(candidate).args(["-I", "-B", "-c", ASK]))?;
    serde_json::from_str(&text)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "did not answer like an interpreter"))
}

/// What has to be shown for an interpreter.
fn describe(facts: &Facts, readable_by_all: bool) -> io::Result<Python> {
    let mut shown: BTreeSet<PathBuf> = BTreeSet::new();
    shown.insert(facts.executable.clone());
    for path in facts.path.iter().filter(|path| path.is_dir()) {
        shown.insert(path.clone());
    }
    // A virtual environment's prefix holds pyvenv.cfg and site-packages.
    if facts.prefixes[0] != facts.prefixes[1] {
        shown.insert(facts.prefixes[0].clone());
    }
    for object in &facts.mapped {
        let Some(directory) = object.parent() else { continue };
        let below_shown = shown.iter().any(|known| known.is_dir() && directory.starts_with(known));
        if is_library_directory(directory) {
            shown.extend(library_paths(directory));
        } else if !below_shown {
            shown.insert(object.clone());
            // The name the loader looks for is often a link beside the object.
            shown.extend(links_to(object));
        }
    }
    shown.extend(loader_files());
    if readable_by_all {
        check_readable(&facts.executable)?;
    }
    let masks = facts.path.iter().flat_map(|path| start_up_files(path)).collect();
    let root = Root { binds: same_places(outermost(shown)), masks, links: Vec::new() };
    Ok(Python { program: facts.executable.clone(), root })
}

/// Guests run as another user, who must be able to read and execute the interpreter.
fn check_readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if path.metadata()?.permissions().mode() & 0o005 == 0o005 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "is not readable for other users"))
}

/// The system's directories of shared objects, shown whole; elsewhere only the objects themselves.
fn is_library_directory(directory: &Path) -> bool {
    ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"]
        .iter()
        .any(|base| directory.starts_with(base))
}

/// The directory, and its other name where /lib and /usr/lib are one.
fn library_paths(directory: &Path) -> Vec<PathBuf> {
    let mut paths = vec![directory.to_path_buf()];
    let twin = match directory.strip_prefix("/usr") {
        Ok(rest) => Path::new("/").join(rest),
        Err(_) => Path::new("/usr").join(directory.strip_prefix("/").unwrap_or(directory)),
    };
    let same = |a: &Path, b: &Path| a.canonicalize().ok().is_some_and(|a| Some(a) == b.canonicalize().ok());
    if same(&twin, directory) {
        paths.push(twin);
    }
    paths
}

fn links_to(object: &Path) -> Vec<PathBuf> {
    let Some(entries) = object.parent().and_then(|parent| parent.read_dir().ok()) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_symlink() && path.canonicalize().is_ok_and(|target| target == object))
        .collect()
}

/// The dynamic loader at the path that binaries name, and its cache.
fn loader_files() -> Vec<PathBuf> {
    ["/lib64/ld-linux-x86-64.so.2", "/etc/ld.so.cache"]
        .map(PathBuf::from)
        .into_iter()
        .filter(|p| p.exists())
        .collect()
}

/// `*.pth` files of a site directory: code that would run at every start.
fn start_up_files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = directory.read_dir() else { return Vec::new() };
    let is_start_up = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "pth");
    entries.flatten().map(|entry| entry.path()).filter(is_start_up).collect()
}

/// /usr whole, and what is linked into it from the top level.
fn compiler_root(program: &Path) -> Root {
    let mut root = Root::default();
    let mut shown = BTreeSet::from([PathBuf::from("/usr")]);
    if !program.starts_with("/usr") {
        // bin/g++ of a prefix of its own.
        shown.extend(program.parent().and_then(Path::parent).map(Path::to_path_buf));
    }
    for top in ["/bin", "/lib", "/lib32", "/lib64"].map(PathBuf::from) {
        match top.read_link() {
            Ok(target) => root.links.push((top, target)),
            Err(_) if top.is_dir() => {
                shown.insert(top);
            }
            Err(_) => {}
        }
    }
    for file in ["/etc/alternatives", "/etc/ld.so.cache"].map(PathBuf::from) {
        if file.exists() {
            shown.insert(file);
        }
    }
    root.binds = same_places(outermost(shown));
    root
}

/// Without what lies in another directory of the set.
fn outermost(paths: BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let directories: Vec<PathBuf> = paths.iter().filter(|path| path.is_dir()).cloned().collect();
    let inner = |path: &PathBuf| directories.iter().any(|outer| path != outer && path.starts_with(outer));
    paths.iter().filter(|path| !inner(path)).cloned().collect()
}

fn same_places(paths: Vec<PathBuf>) -> Vec<(PathBuf, PathBuf)> {
    paths.into_iter().map(|path| (path.canonicalize().unwrap_or_else(|_| path.clone()), path)).collect()
}

fn on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|directory| directory.join(name)).filter(|file| file.is_file()).collect()
}

fn output(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("ended with {}", output.status)));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}
