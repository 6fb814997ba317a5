//! The process the user starts. It holds no tests, no tokens, no sockets to anywhere; it starts two processes and
//! watches them:
//!
//! - the *spawner*, which alone keeps privileges, in a process group of its own so that Ctrl-C does not reach it;
//! - the *worker*, the same executable with the same arguments, without capabilities and unable to gain any:
//!   everything that reads tests, talks to the network or judges happens there.
//!
//! A spawner that dies is started again, and its socket handed to the worker over the line between guardian and
//! worker. Signals to the guardian go on to the worker; the guardian exits with the worker's code. If the
//! guardian is killed, the kernel kills the worker and tells the spawner, which then removes what it made.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::{Pid, getppid};

use crate::{SandboxError, protocol, spawner, sys};

/// In the worker's environment: the line's descriptor and the guardian's process number. A process whose parent is
/// another one inherited the variable by accident.
const VARIABLE: &str = "ASSAY_GUARDIAN";
/// `CAP_DAC_OVERRIDE`.
const FILE_ACCESS: u32 = 1;
/// How long the spawner may take to remove its slots and groups at the end.
const FAREWELL: Duration = Duration::from_secs(10);
/// The pause before something that failed is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// The exit code of a guardian that lost sight of its worker.
const OUR_FAILURE: i32 = 3;
/// How long the worker waits for the next spawner.
const NEXT_SPAWNER: Duration = Duration::from_secs(30);

/// The worker's end of the line, until it is taken.
static LINE: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// How the guardian treats the worker.
#[derive(Debug, Clone, Default)]
pub struct GuardOptions {
    /// Leave the worker `CAP_DAC_OVERRIDE`, for command-line uses that write the user's files. Everything
    /// else is dropped in any case.
    pub keep_file_access: bool,
    /// How many spawner restarts are borne before the guardian gives up; 0 means 100.
    pub restarts: u32,
}

/// Call right after [`init`](crate::init), before threads, files or sockets. In the process the user started
/// it becomes the guardian and does not return: it exits with the worker's code. In the worker (the same
/// executable with the same arguments, started by the guardian) it returns at once, and
/// [`Sandbox::connect`](crate::Sandbox::connect) finds the spawner.
///
/// # Errors
/// When the worker or the spawner cannot be started.
#[expect(clippy::exit, reason = "the guardian ends as its worker ended")]
pub fn run(options: &GuardOptions) -> Result<(), SandboxError> {
    let step = |source| SandboxError::Step { step: "guardian", source };
    if let Some(line) = inherited_line() {
        sys::close_on_exec(&line).map_err(step)?;
        prctl::set_dumpable(false).map_err(|errno| step(errno.into()))?;
        *LINE.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        return Ok(());
    }
    let status = guard(options).map_err(step)?;
    std::process::exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
}

/// Makes SIGTERM and SIGINT wait until [`release_stop_signals`]. For the first steps of a process that ends in a way of
/// its own: a signal that came before it listens would end it in another.
///
/// # Errors
/// When the kernel refuses.
pub fn hold_stop_signals() -> io::Result<()> {
    Ok(stop_signals().thread_block()?)
}

/// Lets SIGTERM and SIGINT through again.
///
/// # Errors
/// When the kernel refuses.
pub fn release_stop_signals() -> io::Result<()> {
    Ok(stop_signals().thread_unblock()?)
}

fn stop_signals() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT])
}

/// The line to the guardian, when this process is its worker; can be taken once.
pub(crate) fn take_line() -> io::Result<Option<OwnedFd>> {
    Ok(LINE.lock().unwrap_or_else(PoisonError::into_inner).take())
}

/// The newest spawner's socket: the guardian sends one for each spawner it starts, and those of spawners that died
/// before anybody asked are still in line.
pub(crate) fn next_spawner(line: &OwnedFd) -> io::Result<OwnedFd> {
    let mut newest = None;
    let mut patience = PollTimeout::from(NEXT_SPAWNER.as_millis() as u16);
    while poll(&mut [PollFd::new(line.as_fd(), PollFlags::POLLIN)], patience)? > 0 {
        let Some((_, fds)) = protocol::receive::<()>(line)? else {
            return Err(io::Error::other("the guardian is gone"));
        };
        newest = fds.into_iter().next();
        patience = PollTimeout::ZERO;
    }
    newest.ok_or_else(|| io::Error::other("the guardian starts no spawner any more"))
}

/// The descriptor named in the environment, if our parent is the guardian that named it.
fn inherited_line() -> Option<OwnedFd> {
    let value = std::env::var(VARIABLE).ok()?;
    let (fd, guardian) = value.split_once(':')?;
    if guardian.parse() != Ok(getppid().as_raw()) {
        return None;
    }
    sys::inherit(fd.parse().ok()?).ok()
}

/// The guardian's life: until the worker ends.
fn guard(options: &GuardOptions) -> io::Result<ExitStatus> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        signals.add(signal);
    }
    signals.thread_block()?;
    let incoming = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
    let (line, workers_end) = sys::seqpacket()?;
    let mut spawner = start_spawner(&line)?;
    let worker = match start_worker(options, &workers_end) {
        Ok(worker) => worker,
        Err(error) => {
            let _ = spawner.kill();
            let _ = spawner.wait();
            return Err(error);
        }
    };
    drop(workers_end);
    let restarts = if options.restarts == 0 { 100 } else { options.restarts };
    Ok(watch(worker, spawner, line, &incoming, restarts))
}

/// Until the worker ends, and never less: whoever returned earlier would go on as a second worker.
fn watch(
    mut worker: Child,
    mut spawner: Child,
    line: OwnedFd,
    incoming: &SignalFd,
    mut restarts: u32,
) -> ExitStatus {
    loop {
        match worker.try_wait() {
            Ok(None) => {}
            ended => {
                drop(line);
                see_off(&mut spawner);
                return ended.ok().flatten().unwrap_or_else(|| ExitStatus::from_raw(OUR_FAILURE << 8));
            }
        }
        if !matches!(spawner.try_wait(), Ok(None)) && restarts > 0 {
            restarts -= 1;
            match start_spawner(&line) {
                Ok(next) => spawner = next,
                // Without one the worker's runs fail as ours; it may work again in a while.
                Err(_) => std::thread::sleep(RETRY),
            }
        }
        match incoming.read_signal() {
            Ok(Some(signal)) => forward(&signal, &worker),
            Ok(None) => {}
            Err(_) => std::thread::sleep(RETRY),
        }
    }
}

/// Passes a signal on. What the terminal sends, it sends to the worker too.
fn forward(signal: &siginfo, worker: &Child) {
    let number = signal.ssi_signo as i32;
    let from_terminal = signal.ssi_code == libc::SI_KERNEL;
    if number == libc::SIGCHLD || from_terminal {
        return;
    }
    if let Ok(signal) = Signal::try_from(number) {
        let _ = nix::sys::signal::kill(Pid::from_raw(worker.id() as i32), signal);
    }
}

/// Starts a spawner and sends its other end to the worker.
fn start_spawner(line: &OwnedFd) -> io::Result<Child> {
    let (to_worker, to_spawner) = sys::seqpacket()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0(spawner::NAME).stdin(to_spawner).stdout(Stdio::null()).process_group(0);
    let guardian = Pid::this();
    sys::before_exec(&mut command, move || {
        // One it can catch: groups are left behind by a spawner that is killed.
        follow(guardian, Signal::SIGTERM)?;
        Ok(SigSet::empty().thread_set_mask()?)
    });
    let mut child = command.spawn()?;
    hand_over(line, to_worker).inspect_err(|_| {
        let _ = child.kill();
        let _ = child.wait();
    })?;
    Ok(child)
}

/// Sends a spawner's other end to the worker. A worker that is gone is no error: the loop will see that next.
fn hand_over(line: &OwnedFd, to_worker: OwnedFd) -> io::Result<()> {
    match protocol::send(line, &(), &[to_worker.as_fd()]) {
        Err(error) if protocol::is_gone(&error) => Ok(()),
        other => other,
    }
}

fn start_worker(options: &GuardOptions, line: &OwnedFd) -> io::Result<Child> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "assay".into());
    let mut command = Command::new("/proc/self/exe");
    let number = line.as_raw_fd();
    command.arg0(name).args(arguments).env(VARIABLE, format!("{number}:{}", std::process::id()));
    let line = line.try_clone()?;
    let keep: &[u32] = if options.keep_file_access { &[FILE_ACCESS] } else { &[] };
    let guardian = Pid::this();
    sys::before_exec(&mut command, move || {
        sys::duplicate_to(line.as_fd(), number)?;
        sys::keep_across_exec(number)?;
        follow(guardian, Signal::SIGKILL)?;
        prctl::set_no_new_privs()?;
        sys::keep_capabilities(keep)?;
        Ok(SigSet::empty().thread_set_mask()?)
    });
    command.spawn()
}

/// In a child of the guardian, before it executes anything: from now on the guardian's death is a signal, and one that
/// came before is an error. A worker that started without its guardian would become a guardian itself.
fn follow(guardian: Pid, signal: Signal) -> io::Result<()> {
    prctl::set_pdeathsig(signal)?;
    if getppid() == guardian { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

/// Its client is gone, so the spawner ends by itself, when it has removed what it made.
fn see_off(spawner: &mut Child) {
    let deadline = Instant::now() + FAREWELL;
    while Instant::now() < deadline {
        if !matches!(spawner.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = spawner.kill();
    let _ = spawner.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker that ended without taking its spawner's socket leaves an unread message in the line, so the next
    /// one meets a connection that was reset, not a broken pipe. The guardian took that for a failure of its own
    /// and went on as if it were the worker: what the worker had said on stderr was said twice.
    #[test]
    fn a_worker_that_is_gone_is_no_failure() {
        for unread in [0, 1] {
            let pair = || sys::seqpacket().unwrap();
            let (line, worker) = pair();
            for _ in 0..unread {
                hand_over(&line, pair().0).unwrap();
            }
            drop(worker);
            hand_over(&line, pair().0).unwrap();
        }
    }
}
