//! The compiler, in a process of its own: this executable once more, which `init()` sends here.
//!
//! A module can make a compiler take minutes or gigabytes (some of its passes are quadratic in a function's size), and a
//! thread cannot be stopped. A process can: it has limits of CPU time, address space and file size that the kernel
//! holds, gets the module as a sealed memory file and writes machine code to another one. It is our code working on
//! hostile bytes, as the compiler in the caller's own process would be, so its artifact is believed as much as that
//! one's would: whoever owns the compiler by a bug in it owns what it compiles in either place.
//!
//! What the module is to blame for is a [`Refusal`]; anything else is our failure.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;

use wasmtime::Module;

use super::Author;
use super::engine::{self, Room};
use crate::{Limits, Termination, image, sys};

/// `argv[0]` of the compiler.
pub(crate) const NAME: &str = "assay: wasm compiler";

/// Longest function body, in bytes, and the most that the squares of all lengths may come to (sixteen
/// functions of 64 KiB).
const MAX_FUNCTION: u64 = 256 << 10;
const MAX_SQUARES: u64 = 1 << 36;

/// What the executable itself needs of address space.
const ADDRESS_SLACK: u64 = 512 << 20;
/// Longest machine code, and longest message.
const MAX_ARTIFACT: u64 = 1 << 30;
const MAX_MESSAGE: u64 = 4 << 10;
/// The parser and some passes recurse.
const STACK: usize = 64 << 20;

/// Exit codes, such as nobody else uses: the module was refused; the compiler never got to it.
const REFUSED: i32 = 65;
const FAILED: i32 = 70;
/// What Rust exits with after a panic.
const PANICKED: i32 = 101;

/// Why there is no machine code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The limit it ran into, or `Exited(1)`.
    pub(crate) termination: Termination,
    /// For people.
    pub(crate) message: String,
}

impl Author {
    fn name(self) -> &'static str {
        match self {
            Author::Guest => "guest",
            Author::User => "user",
        }
    }
}

impl Refusal {
    pub(super) fn new(message: String) -> Refusal {
        Refusal { termination: Termination::Exited(1), message }
    }
}

/// Compiles in a process under `limits` (CPU time in whole seconds, rounded up).
pub(super) fn compile(
    helper: &Path,
    room: Room,
    module: &[u8],
    limits: &Limits,
    author: Author,
) -> io::Result<Result<Vec<u8>, Refusal>> {
    let seconds = limits.cpu_time.as_millis().div_ceil(1000).max(1);
    let (artifact, message) = (image::empty()?, image::empty()?);
    let status = Command::new(helper)
        .arg0(NAME)
        .args([room.name(), author.name(), &seconds.to_string(), &limits.memory.to_string()])
        .env_clear()
        .stdin(image::sealed(module)?)
        .stdout(artifact.try_clone()?)
        .stderr(message.try_clone()?)
        .process_group(0)
        .status()?;
    if status.success() {
        return image::read(&artifact, MAX_ARTIFACT).map(Ok);
    }
    let message = String::from_utf8_lossy(&image::read(&message, MAX_MESSAGE)?).trim().to_owned();
    refusal(status, message, limits).map(Err)
}

/// What a bad end means.
fn refusal(status: ExitStatus, message: String, limits: &Limits) -> io::Result<Refusal> {
    let megabytes = limits.memory >> 20;
    let (termination, message) = match (status.code(), status.signal()) {
        (Some(REFUSED), _) => (Termination::Exited(1), message),
        (_, Some(libc::SIGXCPU)) => {
            let seconds = limits.cpu_time.as_secs_f64();
            (Termination::CpuTimeLimit, format!("the module takes more than {seconds} s to compile"))
        }
        (_, Some(libc::SIGXFSZ)) => (
            Termination::MemoryLimit,
            format!("the module's machine code has more than {MAX_ARTIFACT} bytes"),
        ),
        // Rust's words before it aborts.
        (_, Some(libc::SIGABRT)) if message.contains("memory allocation of") => {
            (Termination::MemoryLimit, format!("the module takes more than {megabytes} MiB to compile"))
        }
        (Some(PANICKED), _) | (_, Some(libc::SIGABRT | libc::SIGSEGV | libc::SIGILL | libc::SIGBUS)) => {
            (Termination::Exited(1), format!("the compiler broke on the module ({status}): {message}"))
        }
        _ => return Err(io::Error::other(format!("the compiler ended with {status}: {message}"))),
    };
    Ok(Refusal { termination, message })
}

/// Plays the compiler: the module at fd 0, machine code to fd 1, messages to fd 2. Returns only to exit.
pub(crate) fn main() -> i32 {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let prepared = confine(&arguments).and_then(|(room, author)| Ok((room, author, module()?)));
    let (room, author, module) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("{error}");
            return FAILED;
        }
    };
    let work = move || here(room, &module, author);
    let Ok(worker) = thread::Builder::new().stack_size(STACK).spawn(work) else { return FAILED };
    match worker.join() {
        Err(_) => PANICKED,
        Ok(Err(message)) => {
            eprint!("{message}");
            REFUSED
        }
        Ok(Ok(artifact)) => io::stdout().write_all(&artifact).map_or(FAILED, |()| 0),
    }
}

/// Takes the limits from the arguments: room, author, seconds of CPU, bytes of memory.
fn confine(arguments: &[String]) -> io::Result<(Room, Author)> {
    let wrong = || io::Error::other("wrong arguments");
    let [room, author, seconds, memory] = arguments else { return Err(wrong()) };
    let authors = [Author::Guest, Author::User];
    let author = authors.into_iter().find(|known| known.name() == author).ok_or_else(wrong)?;
    let room = Room::from_name(room).ok_or_else(wrong)?;
    let seconds: u64 = seconds.parse().map_err(|_| wrong())?;
    let memory: u64 = memory.parse().map_err(|_| wrong())?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_dumpable(false)?;
    prctl::set_no_new_privs()?;
    sys::default_signals()?;
    sys::keep_capabilities(&[])?;
    let limits = [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_CPU, seconds),
        (Resource::RLIMIT_AS, memory.saturating_add(ADDRESS_SLACK)),
        (Resource::RLIMIT_FSIZE, MAX_ARTIFACT),
    ];
    for (resource, most) in limits {
        // One more: at the soft limit comes the signal that says why, at the hard one a kill that does not.
        setrlimit(resource, most, most.saturating_add(1))?;
    }
    Ok((room, author))
}

fn module() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::from(sys::inherit(0)?);
    io::Seek::rewind(&mut file)?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Compiles in this process.
pub(super) fn here(room: Room, module: &[u8], author: Author) -> Result<Vec<u8>, String> {
    if !module.starts_with(b"\0asm") {
        return Err("not a WebAssembly module in binary form (it must begin with \\0asm)".into());
    }
    if author == Author::Guest {
        check_functions(module)?;
    }
    let engine = engine::for_compiling(room).map_err(|error| format!("{error:#}"))?;
    let module = Module::from_binary(&engine, module).map_err(|error| format!("{error:#}"))?;
    engine::check(&module)?;
    module.serialize().map_err(|error| format!("{error:#}"))
}

/// Refuses functions the compiler would take too long over, by the section headers alone. Where those do not
/// parse, the engine's own parser says why.
fn check_functions(module: &[u8]) -> Result<(), String> {
    let lengths = function_lengths(module).unwrap_or_default();
    if let Some(length) = lengths.iter().max().filter(|&&length| length > MAX_FUNCTION) {
        return Err(format!("a function of {length} bytes, more than the {MAX_FUNCTION} allowed"));
    }
    let squares = lengths.iter().map(|length| length * length).fold(0, u64::saturating_add);
    if squares > MAX_SQUARES {
        return Err("too many long functions to compile; split them or turn inlining down".into());
    }
    Ok(())
}

fn function_lengths(module: &[u8]) -> Option<Vec<u64>> {
    const CODE_SECTION: u8 = 10;
    let mut rest = module.get(8..)?;
    while let Some((&id, after)) = rest.split_first() {
        let (size, after) = leb128(after)?;
        let section = after.get(..size)?;
        if id == CODE_SECTION {
            return body_lengths(section);
        }
        rest = &after[size..];
    }
    Some(Vec::new())
}

fn body_lengths(section: &[u8]) -> Option<Vec<u64>> {
    let (count, mut rest) = leb128(section)?;
    let mut lengths = Vec::new();
    for _ in 0..count {
        let (size, body) = leb128(rest)?;
        lengths.push(size as u64);
        rest = body.get(size..)?;
    }
    Some(lengths)
}

/// An unsigned number of at most 32 bits, and what follows it.
pub(super) fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value: u64 = 0;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[index + 1..]));
        }
    }
    None
}
