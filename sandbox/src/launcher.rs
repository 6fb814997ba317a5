//! The process that native programs are forked from: a copy of slot-init, made once per slot, that has the guests' user
//! and the base filters already. What it does for a run is what a warm interpreter does (`zygote.rs`), but that its
//! children execute a binary: compiling the filters would cost more than all else that is done for it.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use ::landlock::RulesetCreated;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{execveat, write};
use serde::{Deserialize, Serialize};

use crate::protocol::{self, Class, Failure, Run};
use crate::slot::give_up_if_no_program;
use crate::sys;
use crate::walls::seccomp::WarmFilters;
use crate::walls::{credentials, landlock, mounts, rlimits, step};
use crate::zygote::{self, Forked};

/// What every run of a slot has in common.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    /// Guest user and group, where the slot has several.
    pub(crate) user: Option<u32>,
    pub(crate) environment: Vec<CString>,
    pub(crate) filters: WarmFilters,
    pub(crate) rules: Option<&'a RulesetCreated>,
    pub(crate) proc: BorrowedFd<'a>,
}

/// One run. Descriptors beside it: the anchor, the binary, stdin, stdout, stderr, the report, and the value pipe where
/// the run has one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) run: Run,
    /// Processes of the slot's user beside the guest, where nothing better counts processes.
    pub(crate) beside: Option<u64>,
}

/// The launcher's life, in a process forked for it; ends with its socket.
pub(crate) fn serve(setting: &Setting<'_>, socket: &OwnedFd) -> io::Result<Infallible> {
    let score = Score::open(setting)?;
    sys::default_signals()?;
    umask(Mode::from_bits_truncate(0o022));
    std::env::set_current_dir(mounts::BOX)?;
    rlimits::set(&rlimits::lasting(Class::Run))?;
    credentials::become_launcher(setting.user)?;
    // A change of user undoes both.
    prctl::set_dumpable(false)?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let home = sys::own_pidfd()?;
    setting.filters.base.iter().try_for_each(|filter| sys::install_filter(filter))?;
    answer(socket, Ok(0))?;
    while let Some((request, fds)) = protocol::receive::<Request>(socket)? {
        let forked = launch(setting, &request, &fds, &score);
        setns(&home, CloneFlags::CLONE_NEWPID)?;
        drop(fds);
        answer(socket, forked)?;
    }
    sys::exit_now(0)
}

/// `sendmsg` is not on the list; a plain write is a message too.
pub(crate) fn answer(socket: &OwnedFd, forked: io::Result<i32>) -> io::Result<()> {
    let (pid, errno) = match forked {
        Ok(pid) => (pid, 0),
        Err(error) => (-1, error.raw_os_error().unwrap_or(libc::EPROTO)),
    };
    write(socket, &Forked { pid, errno }.message())?;
    Ok(())
}

/// Forks the guest into the anchor's pid namespace.
fn launch(setting: &Setting<'_>, request: &Request, fds: &[OwnedFd], score: &Score) -> io::Result<i32> {
    let (anchor, rest) = fds.split_first().ok_or(io::ErrorKind::InvalidData)?;
    setns(anchor, CloneFlags::CLONE_NEWPID)?;
    score.raise()?;
    let forked = sys::fork_sibling();
    if !matches!(forked, Ok(None)) {
        score.restore()?;
        return Ok(forked?.map_or(0, |pid| pid.as_raw()));
    }
    let Err(failure) = become_program(setting, request, rest);
    if let Some(report) = rest.get(4) {
        let text = serde_json::to_vec(&failure).unwrap_or_default();
        let _ = write(report, &[b"!", &text[..]].concat());
    }
    sys::exit_now(125)
}

/// The guest's own side: the rest of the walls, in order, then exec.
fn become_program(setting: &Setting<'_>, request: &Request, fds: &[OwnedFd]) -> Result<Infallible, Failure> {
    let [image, stdin, stdout, stderr, report, values @ ..] = fds else {
        return Err(Failure::new("descriptors", &io::ErrorKind::InvalidData.into()));
    };
    step("descriptors", || {
        sys::seal_descriptors(3)?;
        let values = values.first().filter(|_| request.run.values);
        let streams = [(stdin, 0), (stdout, 1), (stderr, 2)];
        for (fd, number) in streams.into_iter().chain(values.map(|fd| (fd, zygote::VALUES))) {
            sys::duplicate_to(fd.as_fd(), number)?;
        }
        sys::lead_group()
    })?;
    step("rlimits", || rlimits::set(&rlimits::of(&request.run, request.beside)))?;
    step("credentials", sys::drop_capabilities)?;
    if let Some(rules) = setting.rules {
        step("landlock", || landlock::restrict(rules))?;
    }
    let arguments: Vec<CString> = step("exec", || {
        let arguments = std::iter::once("./main").chain(request.run.args.iter().map(String::as_str));
        arguments.map(|argument| Ok(CString::new(argument)?)).collect()
    })?;
    step("seccomp", || sys::install_filter(&setting.filters.last))?;
    step("exec", || {
        write(report, b"w")?;
        let Err(errno) = execveat(image, c"", &arguments, &setting.environment, AtFlags::AT_EMPTY_PATH);
        give_up_if_no_program(errno.into())
    })
}

/// How much the kernel would rather kill this process than another when memory runs out: a guest before all others,
/// so the launcher puts it up for the moment in which it forks one.
struct Score(Option<(File, String)>);

impl Score {
    fn open(setting: &Setting<'_>) -> io::Result<Score> {
        if setting.user.is_none() {
            return Ok(Score(None));
        }
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let file = File::from(openat(setting.proc, "self/oom_score_adj", flags, Mode::empty())?);
        let mut own = [0; 16];
        let length = file.read_at(&mut own, 0)?;
        let own = String::from_utf8_lossy(&own[..length]).into_owned();
        Ok(Score(Some((file, own))))
    }

    fn raise(&self) -> io::Result<()> {
        self.set(|_| "1000")
    }

    fn restore(&self) -> io::Result<()> {
        self.set(|own| own)
    }

    fn set(&self, value: impl Fn(&str) -> &str) -> io::Result<()> {
        let Some((file, own)) = &self.0 else { return Ok(()) };
        let mut file = file;
        file.write_all(value(own).as_bytes())
    }
}
