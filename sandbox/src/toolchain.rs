//! Where the tools of a language are on this host, and which trees each needs to be shown.
//!
//! `python3` of a PATH is often a shell shim; the interpreter itself is asked where it is, where its library is and
//! which shared objects it maps. Nothing guest-given is run here.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::Language;
use crate::client::headers;
use crate::language::{Engine, Tool, Work};
use crate::protocol::{Found, Root};

/// The environment variable that names the directory for what is kept between processes.
pub(crate) const CACHE_VARIABLE: &str = "ASSAY_CACHE";

/// A tool that was found, and what it needs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) program: PathBuf,
    pub(crate) root: Root,
    pub(crate) found: Found,
}

/// What the interpreter says of itself.
#[derive(Deserialize)]
struct Facts {
    executable: PathBuf,
    /// Of a virtual environment: its own name for the interpreter, by which the interpreter knows where it is.
    called: PathBuf,
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
print(json.dumps(dict(executable=os.path.realpath(getattr(sys, '_base_executable', sys.executable)),
    called=os.path.abspath(sys.executable), path=path,
    prefixes=[sys.prefix, sys.base_prefix], mapped=sorted(maps), version=sys.version_info[:2])))";

/// Who runs a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The user who found it.
    Owner,
    /// Another user, to whom it is shown wherever it lies.
    Shown,
    /// Another user, who has to get there.
    Stranger,
}

/// Finds what runs or compiles programs of a language. The error says what to do.
pub(crate) fn find(language: Language, work: Work, reader: Reader) -> Result<Place, String> {
    let tool = language.entry().tool(work).ok_or_else(|| format!("{language} needs no such tool"))?;
    first(tool, candidates(tool), |candidate| match language.entry().engine {
        Engine::Python => interpreter(candidate, reader),
        Engine::Runtime if work == Work::Run => runtime(candidate, tool),
        Engine::Native | Engine::Runtime | Engine::Wasm => compiler(candidate, tool),
    })
}

/// Reads the interpreter that is a WebAssembly module; `named` goes before all others. The error says what to do.
pub(crate) fn read_module(tool: &Tool, named: Option<&Path>) -> Result<(PathBuf, Vec<u8>), String> {
    let candidates = named.map_or_else(|| candidates(tool), |path| vec![path.into()]);
    first(tool, candidates, |candidate| Ok((candidate.to_path_buf(), std::fs::read(candidate)?)))
}

/// The first that can be used.
fn first<T>(
    tool: &Tool,
    candidates: Vec<PathBuf>,
    take: impl Fn(&Path) -> io::Result<T>,
) -> Result<T, String> {
    let mut reasons = Vec::new();
    for candidate in candidates {
        match take(&candidate) {
            Ok(taken) => return Ok(taken),
            Err(error) => reasons.push(format!("{}: {error}", candidate.display())),
        }
    }
    let detail = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let name = tool.commands.first().map_or("tool", String::as_str);
    let variable =
        tool.variable.as_ref().map_or(String::new(), |variable| format!(", or name one in {variable}"));
    Err(format!("no usable {name}{detail}: install {}{variable}", tool.install))
}

/// What may be the tool, best first.
fn candidates(tool: &Tool) -> Vec<PathBuf> {
    if let Some(asked) = tool.variable.as_ref().and_then(std::env::var_os) {
        return vec![asked.into()];
    }
    let places =
        |command: &String| if command.contains('/') { vec![command.into()] } else { on_path(command) };
    tool.commands.iter().flat_map(places).collect()
}

fn interpreter(candidate: &Path, reader: Reader) -> io::Result<Place> {
    let facts = ask(candidate)?;
    if facts.version < (3, 8) {
        return Err(io::Error::other("older than 3.8"));
    }
    let mut root = describe(&facts, reader)?;
    let mut program = facts.executable;
    if facts.prefixes[0] != facts.prefixes[1] {
        program = facts.called;
        root.links.extend(links_from(&program, &root));
    }
    Ok(Place { program, root, found: Found { identity: String::new(), link_static: false } })
}

fn compiler(candidate: &Path, tool: &Tool) -> io::Result<Place> {
    let program = executable(candidate, tool)?;
    let has = |library: &String| {
        output(Command::new(&program).arg(format!("-print-file-name={library}")))
            .is_ok_and(|path| path.trim().starts_with('/'))
    };
    let link_static = !tool.static_libraries.is_empty() && tool.static_libraries.iter().all(has);
    let mut root = compiler_root(&program);
    show_more(&mut root, tool);
    if let Some(cache) = std::env::var_os(CACHE_VARIABLE) {
        let directory = Path::new(&cache).join(headers::NAME);
        headers::make_directory(&directory)?;
        root.binds.push((directory.canonicalize()?, headers::SHOWN.into()));
    }
    let metadata = program.metadata()?;
    let identity = format!("{} {} {:?}", program.display(), metadata.len(), metadata.modified()?);
    Ok(Place { root, program, found: Found { identity, link_static } })
}

/// A virtual machine or interpreter: its own tree, and the system's libraries.
fn runtime(candidate: &Path, tool: &Tool) -> io::Result<Place> {
    let program = executable(candidate, tool)?;
    let mut shown = BTreeSet::from([program.clone()]);
    shown.extend(own_tree(&program));
    for directory in ["/usr/lib/x86_64-linux-gnu", "/usr/lib64"].map(PathBuf::from) {
        if directory.is_dir() {
            shown.extend(library_paths(&directory));
        }
    }
    shown.extend(loader_files());
    let mut root = Root { binds: same_places(outermost(shown)), ..Root::default() };
    show_more(&mut root, tool);
    Ok(Place { program, root, found: Found { identity: String::new(), link_static: false } })
}

/// The tool itself. What is found on PATH may be a link, or a stand-in that chooses one of several; such a one is asked
/// where the tool lives.
fn executable(candidate: &Path, tool: &Tool) -> io::Result<PathBuf> {
    if !tool.home.is_empty() {
        let home = output(Command::new(candidate).args(&tool.home))?;
        let name = candidate.file_name().unwrap_or_default();
        return Path::new(home.trim()).join("bin").join(name).canonicalize();
    }
    let program = candidate.canonicalize()?;
    let beside = program.parent().unwrap_or(Path::new("/"));
    let real = tool.stands_for.iter().find_map(|path| beside.join(path).canonicalize().ok());
    Ok(real.unwrap_or(program))
}

/// The tree a tool was installed in: what is above its `bin`. Not where that is the system's own, which is not shown
/// for one tool, nor a directory of more than the tool: somebody's home, or what is above it.
fn own_tree(program: &Path) -> Option<PathBuf> {
    let tree = program.parent()?.parent()?;
    let homes = [std::env::var_os("HOME").map(PathBuf::from), Some("/root".into())];
    let is_home = |path: &Path| {
        homes.iter().flatten().any(|home| home.starts_with(path)) || path.parent() == Some(Path::new("/home"))
    };
    let of_the_system = ["/usr", "/usr/local", "/opt", "/usr/lib"].map(Path::new).contains(&tree);
    (!of_the_system && !is_home(tree)).then(|| tree.to_path_buf())
}

/// Adds what the tool's entry names besides, where it is there. A `*` at the end stands for any ending.
fn show_more(root: &mut Root, tool: &Tool) {
    for path in tool.show.iter().flat_map(|path| matching(path)) {
        if !root.binds.iter().any(|(_, target)| path.starts_with(target)) {
            root.binds.push((path.canonicalize().unwrap_or_else(|_| path.clone()), path));
        }
    }
}

fn matching(path: &str) -> Vec<PathBuf> {
    let Some(start) = path.strip_suffix('*') else {
        return Path::new(path).exists().then(|| path.into()).into_iter().collect();
    };
    let directory = Path::new(start).parent().unwrap_or(Path::new("/"));
    let entries = directory.read_dir().into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.as_os_str().as_encoded_bytes().starts_with(start.as_bytes()))
        .collect()
}

fn ask(candidate: &Path) -> io::Result<Facts> {
    let text = output(Command::new(candidate).args(["-I", "-B", "-c", ASK]))?;
    serde_json::from_str(&text)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "did not answer like an interpreter"))
}

/// What has to be shown for an interpreter.
fn describe(facts: &Facts, reader: Reader) -> io::Result<Root> {
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
    if reader != Reader::Owner {
        check_readable(&facts.executable)?;
    }
    if reader == Reader::Stranger {
        shown.iter().try_for_each(|path| check_reachable(path))?;
    }
    let masks = facts.path.iter().flat_map(|path| start_up_files(path)).collect();
    Ok(Root { binds: same_places(outermost(shown)), masks, links: Vec::new() })
}

/// The links that a name leads over, those aside that lie in a tree that is shown.
fn links_from(name: &Path, root: &Root) -> Vec<(PathBuf, PathBuf)> {
    const LONGEST: usize = 16;
    let mut links = Vec::new();
    let mut path = name.to_path_buf();
    for _ in 0..LONGEST {
        let Ok(target) = path.read_link() else { break };
        if !root.binds.iter().any(|(_, shown)| path.starts_with(shown)) {
            links.push((path.clone(), target.clone()));
        }
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    links
}

/// Guests run as another user, who must be able to read and execute the interpreter.
fn check_readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if path.metadata()?.permissions().mode() & 0o005 == 0o005 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "is not readable for other users"))
}

/// The same where nothing is shown by a mount: every directory on the way lets others pass.
fn check_reachable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for directory in path.canonicalize()?.ancestors().skip(1) {
        if directory.metadata()?.permissions().mode() & 0o001 == 0 {
            let text = format!("lies in {}, which other users may not enter", directory.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
    }
    Ok(())
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
        shown.extend(own_tree(program));
        shown.insert(program.to_path_buf());
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
