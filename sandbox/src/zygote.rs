//! Warm interpreters, as slot-init holds them: started once by exec, forked for each run. The interpreter's own side,
//! with the walls its children finish, is `zygote.py`; it also runs a program in an interpreter started cold.
//!
//! The interpreter has the guests' user already, and of slot-init's rights those two that entering a run's pid
//! namespace takes; it never sees a byte of a guest. It is slot-init's child, and so are its children
//! (`CLONE_PARENT`), which slot-init alone can reap.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{execve, pipe2};
use serde::Serialize;

use crate::protocol::{self, Class, Failure, Flavour};
use crate::sys::{self, Child};
use crate::walls::seccomp::{self, WarmFilters, to_bytes};
use crate::walls::{rlimits, step};
use crate::{image, launcher};

/// The interpreter's side.
pub(crate) const DRIVER: &str = include_str!("zygote.py");

/// Numbers of descriptors in the interpreter, as `zygote.py` says them.
pub(crate) const VALUES: i32 = 3;
pub(crate) const REPORT: i32 = 4;
pub(crate) const CODE: i32 = 5;
pub(crate) const EXPORT: i32 = 6;
const RULES: i32 = 7;
const PROC: i32 = 8;
pub(crate) const RUN: i32 = 9;
const FORK_SERVER: i32 = 10;
const SOCKET: i32 = 15;

/// The main thread's stack can grow as far as the kernel planned for at exec; a run's own limit is at most this.
const LARGEST_STACK: u64 = 1 << 30;
/// How much of what a failed interpreter printed is passed on, in bytes.
const EXCERPT: usize = 2000;

/// What programs of contests import. What an interpreter lacks is left out.
const IMPORTS: &[&str] = &[
    "abc",
    "array",
    "atexit",
    "bisect",
    "calendar",
    "cmath",
    "collections",
    "collections.abc",
    "contextlib",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "gc",
    "hashlib",
    "heapq",
    "importlib.machinery",
    "io",
    "itertools",
    "json",
    "linecache",
    "marshal",
    "math",
    "numbers",
    "operator",
    "os",
    "platform",
    "pprint",
    "queue",
    "random",
    "re",
    "resource",
    "signal",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "threading",
    "time",
    "traceback",
    "types",
    "typing",
    "unicodedata",
    "warnings",
];

/// An interpreter that waits for runs.
#[derive(Debug)]
pub(crate) struct Zygote {
    child: Child,
    socket: OwnedFd,
}

/// What every run of a slot has in common.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    /// The interpreter's path.
    pub(crate) program: CString,
    pub(crate) environment: Vec<CString>,
    /// Guest user and group, where the slot has several.
    pub(crate) user: Option<u32>,
    pub(crate) filters: WarmFilters,
    pub(crate) rules: Option<BorrowedFd<'a>>,
    pub(crate) proc: BorrowedFd<'a>,
    /// Where a run's source lies.
    pub(crate) directory: &'a Path,
}

/// The first message.
#[derive(Serialize)]
struct Plan<'a> {
    imports: Vec<&'a str>,
    user: Option<u32>,
    landlock: bool,
    directory: &'a Path,
    base_filters: Vec<String>,
    /// Bytes to be replaced by a child's own number, and the filter they are in.
    pin: Option<(String, String)>,
    final_filter: String,
    /// Steps that children leave out.
    left_out: Vec<&'static str>,
}

/// One run, as its process reads it.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) args: &'a [String],
    pub(crate) seed: u64,
    pub(crate) values: bool,
    pub(crate) compiled: bool,
    pub(crate) export: bool,
    /// Which, and how much, of each limit.
    pub(crate) rlimits: Vec<(u32, u64)>,
}

impl Start<'_> {
    /// What the interpreter itself reads of a run: are a value pipe, compiled code, a pipe for compiled code and
    /// arguments there? Nothing that says anything of the program.
    pub(crate) fn flags(&self) -> u32 {
        let flags = [self.values, self.compiled, self.export, !self.args.is_empty()];
        flags.iter().rev().fold(0, |all, flag| all << 1 | u32::from(*flag))
    }

    /// A run as `fork_server.s` reads it.
    pub(crate) fn message(&self) -> Vec<u8> {
        let optional = [(self.values, VALUES), (self.compiled, CODE), (self.export, EXPORT)];
        let optional = optional.iter().filter(|(there, _)| *there).map(|(_, number)| *number);
        let targets: Vec<i32> = [RUN, 0, 1, 2, REPORT].into_iter().chain(optional).collect();
        let mut message = self.flags().to_le_bytes().to_vec();
        message.extend((targets.len() as u32).to_le_bytes());
        message.extend((0..8).flat_map(|at| targets.get(at).unwrap_or(&-1).to_le_bytes()));
        let rlimits = if left_out().contains(&"rlimits") { &[][..] } else { &self.rlimits };
        message.extend((rlimits.len() as u64).to_le_bytes());
        let words = rlimits.iter().flat_map(|(which, value)| [u64::from(*which), *value, *value]);
        message.extend(words.flat_map(u64::to_le_bytes));
        message
    }

    /// What a caller says of the run, in a file that a warm interpreter passes on unread, so that nothing of it stays in
    /// that memory.
    pub(crate) fn file(&self) -> io::Result<OwnedFd> {
        let mut bytes = self.seed.to_le_bytes().to_vec();
        self.args.iter().for_each(|arg| bytes.extend([arg.as_bytes(), b"\0"].concat()));
        image::sealed(bytes.as_slice())
    }
}

/// The answer to every message: the child's number, or the error of the fork.
pub(crate) struct Forked {
    pub(crate) pid: i32,
    pub(crate) errno: i32,
}

impl Forked {
    pub(crate) fn message(&self) -> [u8; 8] {
        (u64::from(self.errno as u32) << 32 | u64::from(self.pid as u32)).to_le_bytes()
    }

    fn read(message: [u8; 8]) -> Forked {
        let word = u64::from_le_bytes(message);
        Forked { pid: word as u32 as i32, errno: (word >> 32) as i32 }
    }
}

impl Zygote {
    /// Starts an interpreter and waits until it has imported what `flavour` says.
    pub(crate) fn start(setting: &Setting<'_>, flavour: Flavour) -> Result<Zygote, Failure> {
        step("interpreter", || {
            let (ours, theirs) = sys::seqpacket()?;
            let (messages, printed) = pipe2(OFlag::O_CLOEXEC)?;
            let Some(child) = sys::fork(CloneFlags::empty())? else {
                let Err(error) = become_interpreter(setting, &theirs, &printed);
                let _ = nix::unistd::write(&printed, error.to_string().as_bytes());
                sys::exit_now(125);
            };
            drop((theirs, printed));
            let zygote = Zygote { child, socket: ours };
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let numpy: &[&str] = if flavour == Flavour::Numpy { &["numpy"] } else { &[] };
            let plan = Plan {
                imports: [IMPORTS, numpy].concat(),
                user: setting.user,
                landlock: setting.rules.is_some(),
                directory: setting.directory,
                pin: setting
                    .filters
                    .pin
                    .as_ref()
                    .map(|pin| (hex(&seccomp::OWN_NUMBER.to_ne_bytes()), hex(&to_bytes(pin)))),
                base_filters: setting.filters.base.iter().map(|filter| hex(&to_bytes(filter))).collect(),
                final_filter: hex(&to_bytes(&setting.filters.last)),
                left_out: left_out(),
            };
            let ready = protocol::send(&zygote.socket, &plan, &[]).and_then(|()| zygote.answer());
            ready.map_err(|error| io::Error::other(format!("{error}; {}", excerpt(messages))))?;
            Ok(zygote)
        })
    }

    /// Starts a launcher of native programs.
    pub(crate) fn start_launcher(setting: &launcher::Setting<'_>) -> Result<Zygote, Failure> {
        step("launcher", || {
            let (ours, theirs) = sys::seqpacket()?;
            let Some(child) = sys::fork(CloneFlags::empty())? else {
                drop(ours);
                let Err(error) = launcher::serve(setting, &theirs);
                launcher::answer(&theirs, Err(error)).ok();
                sys::exit_now(125);
            };
            drop(theirs);
            let zygote = Zygote { child, socket: ours };
            zygote.answer()?;
            Ok(zygote)
        })
    }

    /// Forks a child; it finishes its walls and becomes the program. What the message says, and which descriptors come
    /// with it, is between the caller and this kind of process; the first is an anchor, whose pid namespace the child
    /// is in, where there is one. A broken pipe means that the process was gone and nothing was forked; after any
    /// other error something may have been.
    pub(crate) fn fork(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<Child> {
        sys::send(self.socket.as_fd(), message, descriptors)?;
        let pid = self.answer().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Child { pid, pidfd: sys::open_process(pid)? })
    }

    fn answer(&self) -> io::Result<nix::unistd::Pid> {
        let mut message = [0; 8];
        match sys::receive(self.socket.as_fd(), &mut message)?.0 {
            0 => Err(io::Error::new(io::ErrorKind::BrokenPipe, "it ended")),
            8 => match Forked::read(message) {
                Forked { pid, errno: 0 } => Ok(nix::unistd::Pid::from_raw(pid)),
                Forked { errno, .. } => Err(io::Error::from_raw_os_error(errno)),
            },
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "an answer of another length")),
        }
    }
}

/// None, but in builds for benches.
fn left_out() -> Vec<&'static str> {
    #[cfg(feature = "removable-walls")]
    return crate::spawner::lacks().into_iter().map(crate::Lack::name).collect();
    #[cfg(not(feature = "removable-walls"))]
    Vec::new()
}

impl Drop for Zygote {
    fn drop(&mut self) {
        let _ = sys::signal(self.child.pidfd.as_fd(), libc::SIGKILL);
        let _ = sys::reap(self.child.pid);
    }
}

/// The forked child: settles its descriptors and becomes the interpreter. Its standard streams are pipes, as a
/// guest's are, so that the objects over them are right for every guest.
fn become_interpreter(setting: &Setting<'_>, socket: &OwnedFd, printed: &OwnedFd) -> io::Result<Infallible> {
    // All of ours go above the numbers they are given last.
    let high = |fd: BorrowedFd<'_>| sys::duplicate_above(fd, 2 * SOCKET);
    let null = high(File::options().read(true).write(true).open("/dev/null")?.as_fd())?;
    let (nothing, _) = pipe2(OFlag::O_CLOEXEC)?;
    let (stdin, output) = (high(nothing.as_fd())?, high(printed.as_fd())?);
    let (socket, proc) = (high(socket.as_fd())?, high(setting.proc)?);
    let rules = setting.rules.map(high).transpose()?;
    let fork_server = high(image::sealed(sys::fork_server())?.as_fd())?;
    for number in 0..=SOCKET {
        let descriptor = match number {
            0 => &stdin,
            1 | 2 => &output,
            RULES => rules.as_ref().unwrap_or(&null),
            PROC => &proc,
            FORK_SERVER => &fork_server,
            SOCKET => &socket,
            _ => &null,
        };
        sys::duplicate_to(descriptor.as_fd(), number)?;
    }
    sys::seal_descriptors(SOCKET as u32 + 1)?;
    sys::default_signals()?;
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_STACK)?;
    setrlimit(Resource::RLIMIT_STACK, LARGEST_STACK.min(hard), hard)?;
    rlimits::set(&rlimits::lasting(Class::Run))?;
    let arguments = [setting.program.as_c_str(), c"-s", c"-B", c"-c", &CString::new(DRIVER)?];
    Ok(execve(&setting.program, &arguments, &setting.environment)?)
}

/// What a failed interpreter printed last.
fn excerpt(messages: OwnedFd) -> String {
    let mut text = Vec::new();
    if fcntl(&messages, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok() {
        let _ = File::from(messages).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text).trim().replace('\n', " | ");
    text.chars().take(EXCERPT).collect()
}
