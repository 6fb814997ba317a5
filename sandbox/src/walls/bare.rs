//! What stands in for namespaces where there are none (tier D). A guest sees the host's processes and the names of its
//! files, and reaches neither: landlock opens only what is shown, the system-call list lets it name no process but
//! itself and start none, so that to end it is to end everything of it. Its source lies in a directory of the
//! slot's own, which it may read.
//!
//! A kernel that cannot hold one of these is refused, not used for less: [`prove`] tries them when a slot is made.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ::landlock::RulesetCreated;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, getppid, pipe2, unlinkat};

use super::{credentials, landlock, seccomp, step};
use crate::protocol::Failure;
use crate::sys;

/// Prefix of the directories' names; the spawner's process number follows.
const PREFIX: &str = "assay-box-";
/// Makes a slot's directory, where temporary files may be made.
pub(crate) fn make_directory(number: u64) -> io::Result<PathBuf> {
    let mut reasons = Vec::new();
    for place in places() {
        let path = place.join(format!("{PREFIX}{}-{number}", std::process::id()));
        let made = DirBuilder::new().mode(0o755).create(&path);
        // The umask may have taken bits away.
        match made.and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o755))) {
            Ok(()) => return Ok(path),
            Err(error) => reasons.push(format!("{}: {error}", place.display())),
        }
    }
    Err(io::Error::other(format!("no place for a source: {}", reasons.join("; "))))
}

/// Takes a slot's directory away, and the files of a run that was cut off. Only its slot-init could write there.
pub(crate) fn remove_directory(path: &Path) -> io::Result<()> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = open(path, flags, Mode::empty())?;
    for entry in path.read_dir()? {
        unlinkat(&directory, entry?.file_name().as_os_str(), UnlinkatFlags::NoRemoveDir)?;
    }
    fs::remove_dir(path)
}

/// Takes away the directories of our own user that a spawner left behind when it was killed.
pub(crate) fn sweep() {
    let user = nix::unistd::geteuid().as_raw();
    for entry in places().iter().filter_map(|place| place.read_dir().ok()).flatten().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|n| n.split('-').next());
        let ours = entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user);
        if ours && owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = remove_directory(&entry.path());
        }
    }
}

fn places() -> [PathBuf; 3] {
    [std::env::temp_dir(), "/dev/shm".into(), "/var/tmp".into()]
}

/// The guest's streams and the client's ends of them. Opening /dev/stdin and its like gives them again, by way of the
/// host's procfs, so the modes say which way each goes.
pub(crate) fn open_pipes() -> io::Result<([OwnedFd; 3], [OwnedFd; 3])> {
    let pipe = |mode: u32| {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        nix::sys::stat::fchmod(&read, Mode::from_bits_truncate(mode))?;
        io::Result::Ok((read, write))
    };
    let (stdin, stdin_client) = pipe(0o444)?;
    let (stdout_client, stdout) = pipe(0o222)?;
    let (stderr_client, stderr) = pipe(0o222)?;
    Ok(([stdin, stdout, stderr], [stdin_client, stdout_client, stderr_client]))
}

/// A child puts a guest's walls around itself and tries them. The failure is what did not hold.
pub(crate) fn prove(
    user: Option<u32>,
    rules: &RulesetCreated,
    filters: &seccomp::Filters,
) -> Result<(), Failure> {
    let (report, reporter) = step("landlock", || Ok(pipe2(OFlag::O_CLOEXEC)?))?;
    let Some(child) = step("landlock", || sys::fork(CloneFlags::empty()))? else {
        let failure = try_walls(user, rules, filters).err();
        let text = serde_json::to_vec(&failure).unwrap_or_default();
        let _ = nix::unistd::write(&reporter, &text);
        sys::exit_now(0);
    };
    drop(reporter);
    let mut text = Vec::new();
    let read = File::from(report).read_to_end(&mut text);
    let _ = sys::signal(child.pidfd.as_fd(), libc::SIGKILL);
    step("landlock", || sys::reap(child.pid))?;
    step("landlock", || read.map(|_| ()))?;
    let failure: Option<Failure> = step("landlock", || Ok(serde_json::from_slice(&text)?))?;
    failure.map_or(Ok(()), Err)
}

fn try_walls(user: Option<u32>, rules: &RulesetCreated, filters: &seccomp::Filters) -> Result<(), Failure> {
    let parent = getppid();
    let held = |holds: bool, what: &str| if holds { Ok(()) } else { Err(io::Error::other(what.to_string())) };
    step("credentials", || credentials::drop_all(user))?;
    step("landlock", || {
        landlock::restrict(rules)?;
        let denied = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        held(File::open("/proc/self/status").is_err_and(denied), "a file that is not shown can be opened")?;
        let signal = nix::sys::signal::kill(parent, None);
        held(signal == Err(Errno::EPERM), "a process outside can be signalled")
    })?;
    step("seccomp", || {
        filters.install()?;
        let signal = nix::sys::signal::kill(parent, None);
        held(signal == Err(Errno::ESRCH) && getppid().as_raw() == 0, "another process can be named")
    })
}
