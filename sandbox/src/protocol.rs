//! What client, spawner and slot-init say to each other: one JSON message per datagram of a SEQPACKET socket,
//! descriptors beside it. All of these are trusted processes; no byte of a guest travels here.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::sys;

/// Longest message, in bytes.
const MAX_MESSAGE: usize = 160 << 10;

/// What a slot is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Class {
    /// Python and native programs: no writable path.
    Run,
    /// Virtual machines and interpreters that compile as they run: a small fresh tmpfs per run, a wider list of system
    /// calls.
    Cold,
    /// Compilers: a fresh tmpfs per run, processes of its own.
    Compile,
}

/// What a slot is made for, and the language, by name, whose tool it shows: the spawner has its own list of languages
/// and takes nobody's word for a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Room {
    pub(crate) class: Class,
    pub(crate) language: String,
}

/// Client to spawner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// What does this host give? With a name, as [`HostReport::mode`] has it: that mode and no other shall be given, now
    /// and from here on.
    Probe(Option<String>),
    /// Where is this room's tool?
    Find(Room),
    /// Make a slot; the answer carries its socket and the handles of its control group.
    Slot(Room),
}

/// A tool that was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Its path, size and time: another version is another file.
    pub(crate) identity: String,
    /// Programs can be linked statically: twice as fast to start.
    pub(crate) link_static: bool,
}

/// Spawner to client.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// To [`Order::Probe`].
    Host(HostReport),
    /// To [`Order::Find`]: the tool, or what to install.
    Tool(Result<Found, String>),
    /// To [`Order::Slot`]: descriptors are the slot's socket and process, then one per handle.
    Slot { handles: Vec<Handle> },
    /// The order could not be done.
    Failed(Failure),
}

/// A step that failed, as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) step: String,
    /// 0 when the cause is no error number.
    pub(crate) errno: i32,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(step: &str, error: &io::Error) -> Failure {
        Failure { step: step.into(), errno: error.raw_os_error().unwrap_or(0), text: error.to_string() }
    }
}

/// What the spawner found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct HostReport {
    /// The tier's letter, or none.
    pub(crate) tier: Option<String>,
    /// What slots are made of, so that a spawner that replaces this one can be told to make the same.
    pub(crate) mode: String,
    /// Name, state (`up`, `weaker`, `missing`), text.
    pub(crate) walls: Vec<(String, String, String)>,
}

/// A file of the slot's control group, opened by the spawner for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Handle {
    /// v1 `memory.limit_in_bytes`, v2 `memory.max`.
    MemoryLimit,
    /// v1 `memory.memsw.limit_in_bytes`.
    MemorySwapLimit,
    /// v1 `memory.usage_in_bytes`, v2 `memory.current`.
    MemoryUsage,
    /// v1 `memory.max_usage_in_bytes`, v2 `memory.peak`; writing resets it (v2: since 6.12).
    MemoryPeak,
    /// v1 `memory.oom_control`, v2 `memory.events`: the line `oom_kill`.
    MemoryEvents,
    /// `memory.stat`.
    MemoryStat,
    /// v1 `memory.force_empty`.
    MemoryEmpty,
    /// `pids.max`.
    ProcessLimit,
    /// `pids.events`: the line `max`.
    ProcessEvents,
    /// v1 `cpuacct.usage`, nanoseconds.
    CpuNanos,
    /// v2 `cpu.stat`: the line `usage_usec`.
    CpuStat,
}

/// Client to slot-init.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Start an interpreter to fork from, so that its memory is charged before a run's is counted.
    Warm(Flavour),
    /// Start; the descriptors are the image, then those that [`Run`] says are there, in its order.
    Run(Run),
    /// End what runs now.
    Kill,
}

/// What a warm interpreter has imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Flavour {
    /// The modules that programs usually import.
    Plain,
    /// numpy too.
    Numpy,
    /// Nothing: it executes binaries.
    Native,
}

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) action: Action,
    /// Arguments of the program; with [`Action::Tool`], of the tool.
    pub(crate) args: Vec<String>,
    /// The name of the image's bytes in the box, for whoever reads them there.
    pub(crate) source: Option<String>,
    /// A file or directory that is taken out of the slot's /tmp when the run has ended with 0; it comes back with
    /// [`Event::Ended`], a directory as an archive.
    pub(crate) product: Option<String>,
    /// What the guest finds in its environment beside the usual.
    pub(crate) environment: Vec<String>,
    /// Python: the warm interpreter to fork from; none means a cold start.
    pub(crate) warm: Option<Flavour>,
    /// Python: what `random` and numpy start from.
    pub(crate) seed: u64,
    /// The guest gets fd 3: the write end of the value pipe is among the descriptors.
    pub(crate) values: bool,
    /// Python: the compiled code is among the descriptors.
    pub(crate) compiled: bool,
    /// Python: a pipe to write the compiled code to is among the descriptors.
    pub(crate) export: bool,
    /// Names of files that the guest finds beside its source, read-only; their contents are the last descriptors.
    pub(crate) files: Vec<String>,
    /// Source and files lie in the slot's /tmp and may be changed there, and that is the working directory.
    pub(crate) at_work: bool,
    /// Files that are taken out of /tmp when the run has ended, however it did; they come with [`Event::Ended`].
    pub(crate) fetch: Vec<String>,
    /// Backstops behind the control group.
    pub(crate) cpu_seconds: u64,
    pub(crate) address_space: u64,
    pub(crate) stack: u64,
    pub(crate) open_files: u64,
    pub(crate) processes: u64,
}

/// What is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// The interpreter on the source.
    Python,
    /// A native binary, executed from its sealed memfd.
    Native,
    /// The slot's tool.
    Tool,
}

/// Slot-init to client.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// To [`Command::Warm`]: the interpreter waits, or why none does.
    Warm(Result<(), Failure>),
    /// The guest's process is there; descriptors are stdin to write, stdout and stderr to read, and the process itself.
    Started,
    /// A wall could not be finished; nothing of the guest ran.
    Failed(Failure),
    /// The guest and everything it started is gone. The descriptors are those of [`Run::fetch`] that were there, as `fetched`
    /// says, or else a compiled binary.
    Ended { status: i32, cpu_nanos: u64, peak_resident: u64, stage: Stage, fetched: Vec<bool> },
}

/// How far a guest came, by what trusted code reported before the guest's own began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// It was ended before its walls stood.
    Entering,
    /// Its walls stood; its source was not compiled.
    Compiling,
    /// It ran.
    Running,
}

/// Spawner to slot-init, the first message on its socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) class: Class,
    pub(crate) tier: String,
    /// Directories of the control groups to join, one per hierarchy.
    pub(crate) groups: Vec<PathBuf>,
    /// Guest user and group number; `None` keeps the only one a user namespace maps.
    pub(crate) user: Option<u32>,
    /// Outside numbers for the user namespace's maps.
    pub(crate) map: Option<(u32, u32)>,
    /// Whether processes are counted by a group; otherwise guests may start none.
    pub(crate) may_fork: bool,
    /// Tier D: the directory for the source. There is no mount namespace to have one of its own in, nor any other.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) root: Root,
    /// The tool's path: an interpreter, a compiler.
    pub(crate) program: Option<PathBuf>,
}

/// What a slot's root file system shows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Root {
    /// Shown read-only, at the same path or another: (source, target).
    pub(crate) binds: Vec<(PathBuf, PathBuf)>,
    /// Files shown empty.
    pub(crate) masks: Vec<PathBuf>,
    /// (link, what it points to), as on the host.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
}

/// Sends a message.
pub(crate) fn send<T: Serialize>(socket: impl AsFd, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    sys::send(socket.as_fd(), &serde_json::to_vec(message)?, fds)
}

/// Whether a message could not be sent because nobody is there any more to take it.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

thread_local! {
    /// Where messages arrive: a fresh buffer of that size for each would cost more than the message.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; MAX_MESSAGE]);
}

/// Receives a message; `None` when the other side is gone.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    BUFFER.with_borrow_mut(|buffer| {
        let (length, fds) = match sys::receive(socket.as_fd(), buffer) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            other => other?,
        };
        if length == 0 {
            return Ok(None);
        }
        Ok(Some((serde_json::from_slice(&buffer[..length])?, fds)))
    })
}
