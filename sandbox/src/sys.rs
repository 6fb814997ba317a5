//! System calls that need `unsafe`; nothing here decides anything. Every other file of this crate is safe code.
#![allow(unsafe_code, reason = "the one module of this crate where raw system calls live")]

use std::ffi::CStr;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use nix::NixPath;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use seccompiler::sock_filter;

/// Most descriptors in one message.
pub(crate) const MAX_FDS: usize = 72;

/// A child of [`fork`]: its number and a descriptor that cannot come to mean another process.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
}

/// Forks with a pidfd: `Some(child)` in the parent, `None` in the child. The caller must be single-threaded.
pub(crate) fn fork(flags: CloneFlags) -> io::Result<Option<Child>> {
    match fork_new(flags) {
        // The runtimes of containers answer so, because a filter cannot read the flags of the newer call.
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => fork_old(flags),
        other => other,
    }
}

/// By `clone3`.
fn fork_new(flags: CloneFlags) -> io::Result<Option<Child>> {
    let mut pidfd: RawFd = -1;
    // SAFETY: an all-zero clone_args is a valid request; the fields that matter are set below.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = (flags.bits() as u32 as u64) | libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: args outlives the call; without CLONE_VM the child gets a copy of this single-threaded process,
    // so every lock and the allocator are in a usable state there.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    started(pid, pidfd)
}

/// By `clone`, which has no room for flags beyond 32 bits; none of ours are.
fn fork_old(flags: CloneFlags) -> io::Result<Option<Child>> {
    let mut pidfd: RawFd = -1;
    let flags = flags.bits() as u32 as libc::c_ulong | (libc::CLONE_PIDFD | libc::SIGCHLD) as libc::c_ulong;
    // SAFETY: as in fork_new; the stack of null is the caller's own, copied, and the pidfd is stored in a live local.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, &raw mut pidfd, 0usize, 0usize) };
    started(pid, pidfd)
}

/// What a call that starts a process and stores its pidfd returned: `None` in the child.
fn started(pid: libc::c_long, pidfd: RawFd) -> io::Result<Option<Child>> {
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(Child {
            pid: Pid::from_raw(pid as i32),
            // SAFETY: the kernel stored a fresh descriptor that nobody else owns.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        })),
    }
}

/// Forks a child that is not ours but our parent's, which alone can reap it: `Some(number)` here, `None` in the child.
/// The caller must be single-threaded.
pub(crate) fn fork_sibling() -> io::Result<Option<Pid>> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: takes numbers only; without CLONE_VM the child gets a copy of this single-threaded process.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(Pid::from_raw(pid as i32))),
    }
}

/// Starts process 1 of a new pid namespace: it holds nothing and waits to be killed. Orphans in the namespace come to
/// it, and since it ignores SIGCHLD they vanish when they end. It borrows the caller's memory (a copy would cost
/// six times as much), so it is made of plain system calls that cannot fail and set no `errno`; it stands on `stack`
/// until it is reaped. The caller must be single-threaded.
pub(crate) fn start_anchor(stack: &mut AnchorStack) -> io::Result<Child> {
    let flags = libc::CLONE_VM | libc::CLONE_NEWPID | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut pidfd: RawFd = -1;
    // SAFETY: the stack is as long as a process stands on it, for slots keep it and reap before they start the next;
    // its end is aligned; `stay` touches nothing of the caller's but that stack.
    let pid = unsafe {
        let top = stack.0.as_mut_ptr().add(stack.0.len()).cast();
        libc::clone(stay, top, flags, std::ptr::null_mut(), &raw mut pidfd)
    };
    started(pid.into(), pidfd)?.ok_or_else(|| io::Error::other("an anchor came back"))
}

/// What an anchor stands on.
#[derive(Debug)]
#[repr(align(16))]
pub(crate) struct AnchorStack([u8; 16 << 10]);

impl AnchorStack {
    pub(crate) fn new() -> Box<AnchorStack> {
        Box::new(AnchorStack([0; 16 << 10]))
    }
}

/// The anchor's life. All signals are blocked first, so that no handler that it has from the caller can run.
extern "C" fn stay(_: *mut libc::c_void) -> libc::c_int {
    let all = u64::MAX;
    // SAFETY: the arguments are numbers, a live mask of the kernel's size, and a zeroed action but for "ignore".
    unsafe {
        let block = libc::SIG_SETMASK;
        libc::syscall(libc::SYS_rt_sigprocmask, block, &raw const all, std::ptr::null::<u64>(), 8);
        libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0);
        let mut ignore: libc::sigaction = std::mem::zeroed();
        ignore.sa_sigaction = libc::SIG_IGN;
        libc::sigaction(libc::SIGCHLD, &raw const ignore, std::ptr::null_mut());
        loop {
            libc::syscall(libc::SYS_pause);
        }
    }
}

// The bytes of a function that this process never calls, kept as data; the file says what for.
std::arch::global_asm!(
    include_str!("fork_server.s"),
    // Offsets in `Server`.
    socket = const 0,
    home = const 8,
    score = const 16,
    thread = const 24,
    header = const 32,
    room = const 40,
    message = const 48,
    calls = const 56,
    call_count = const 64,
    failed = const 72,
    own_score_length = const 80,
    own_score = const 88,
    // Offsets in `msghdr`, and the size of `cmsghdr`.
    header_control = const 32,
    header_room = const 40,
    control_header = const 16,
    recvmsg = const libc::SYS_recvmsg,
    setns = const libc::SYS_setns,
    write = const libc::SYS_write,
    clone = const libc::SYS_clone,
    close = const libc::SYS_close,
    dup2 = const libc::SYS_dup2,
    prlimit = const libc::SYS_prlimit64,
    eintr = const libc::EINTR,
    close_on_exec = const libc::MSG_CMSG_CLOEXEC,
    new_pid = const libc::CLONE_NEWPID,
    // So slot-init is the child's parent; the thread's number is set as the C library's own fork does.
    fork_flags = const libc::CLONE_PARENT | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD,
);

/// What `fork_server.s` is as machine code, to be mapped readable and executable.
pub(crate) fn fork_server() -> &'static [u8] {
    unsafe extern "C" {
        static assay_fork_server: u8;
        static assay_fork_server_end: u8;
    }
    let (start, end) = (&raw const assay_fork_server, &raw const assay_fork_server_end);
    // SAFETY: both symbols are in one section, the second behind what begins with the first; nobody writes there.
    unsafe { std::slice::from_raw_parts(start, end as usize - start as usize) }
}

/// Maps what the WebAssembly compiler made into this process, to be run.
pub(crate) fn load_machine_code(
    engine: &wasmtime::Engine,
    artifact: &[u8],
) -> wasmtime::Result<wasmtime::Module> {
    // SAFETY: the bytes are our own compiler's (`wasm::compiler`), from a memory file that nobody else ever held or from a
    // file that only this user can have written (`wasm::shelf`), with a sum over them.
    unsafe { wasmtime::Module::deserialize(engine, artifact) }
}

/// Bytes that the caller of [`lend`] owns.
#[derive(Debug, Clone)]
pub(crate) struct Lent {
    bytes: &'static [u8],
    _loan: Arc<()>,
}

impl Lent {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes
    }
}

/// Lends bytes to what may hold no reference, a store of the WebAssembly engine, for the length of `work`: a run's
/// input and files may have hundreds of megabytes, and are the same for many runs. Whoever keeps one of them longer ends
/// the process.
pub(crate) fn lend<T>(parts: &[&[u8]], work: impl FnOnce(Vec<Lent>) -> T) -> T {
    struct Loan(Arc<()>);
    impl Drop for Loan {
        fn drop(&mut self) {
            if Arc::get_mut(&mut self.0).is_none() {
                std::process::abort();
            }
        }
    }
    let loan = Loan(Arc::default());
    // SAFETY: the references are seen through `Lent::bytes` alone, for as long as a `Lent` is borrowed; no `Lent` lives
    // when `loan` is dropped, which is before this function returns or unwinds.
    let forever = |part: &[u8]| unsafe { std::mem::transmute::<&[u8], &'static [u8]>(part) };
    work(parts.iter().map(|part| Lent { bytes: forever(part), _loan: Arc::clone(&loan.0) }).collect())
}

/// Ends the process at once: no atexit, no destructors, no flush.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit does not return and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Sends one message with descriptors. The receiver gets copies; ours stay ours.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let raw: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    retry(|| {
        Ok(sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?)
    })?;
    Ok(())
}

/// Receives one message and its descriptors; an empty message is the end of the connection.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; MAX_FDS]);
    loop {
        let mut iov = [IoSliceMut::new(buffer)];
        let message =
            match recvmsg::<()>(socket.as_raw_fd(), &mut iov, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
                Err(nix::Error::EINTR) => continue,
                other => other?,
            };
        let mut fds = Vec::new();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = control {
                for fd in received {
                    // SAFETY: the kernel just installed this descriptor for us alone.
                    fds.push(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
        }
        if message.flags.contains(MsgFlags::MSG_TRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "message longer than its buffer"));
        }
        return Ok((message.bytes, fds));
    }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Makes `fd` also known as `number`, without close-on-exec.
pub(crate) fn duplicate_to(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: dup2 takes numbers only; whoever owned `number` before is a process about to exec.
    check(unsafe { libc::dup2(fd.as_raw_fd(), number) })
}

/// A copy of `fd` whose number is at least `least`, close-on-exec.
pub(crate) fn duplicate_above(fd: BorrowedFd<'_>, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes numbers only.
    let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    check(copy)?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Marks every descriptor from `first` on close-on-exec.
pub(crate) fn seal_descriptors(first: u32) -> io::Result<()> {
    // SAFETY: changes flags only, closes nothing now.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) as i32 })
}

/// Takes ownership of an inherited descriptor.
pub(crate) fn inherit(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD only asks whether the number is open.
    check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // SAFETY: open, and by the start-up protocol meant for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Every signal back to its default action, nothing blocked: what a program expects to start with.
pub(crate) fn default_signals() -> io::Result<()> {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL installs no handler; numbers that cannot be set are refused and skipped.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    Ok(nix::sys::signal::SigSet::empty().thread_set_mask()?)
}

/// A process group of its own for this process: what a program sends to its group stays with it.
pub(crate) fn lead_group() -> io::Result<()> {
    Ok(nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0))?)
}

/// Runs `then` between fork and exec of `command`. It must not allocate much nor take locks.
pub(crate) fn before_exec(
    command: &mut Command,
    then: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: the closures given here make plain system calls only.
    unsafe { command.pre_exec(then) };
}

/// A detached copy of the mount tree at `path` (its submounts too).
pub(crate) fn clone_tree(path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as u32;
    // SAFETY: the path is a C string for the length of the call.
    let fd = path.with_nix_path(|path| unsafe {
        libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) as i32
    })?;
    check(fd)?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Puts a detached tree at `target`.
pub(crate) fn attach_tree(tree: &OwnedFd, target: &Path) -> io::Result<()> {
    const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
    // SAFETY: both paths are C strings for the length of the call.
    check(target.with_nix_path(|target| unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        ) as i32
    })?)
}

/// Adds mount attributes (`MOUNT_ATTR_*`) to a tree and everything mounted in it.
pub(crate) fn restrict_tree(tree: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    // SAFETY: an all-zero mount_attr is a valid "change nothing".
    let mut change: libc::mount_attr = unsafe { std::mem::zeroed() };
    change.attr_set = attributes;
    // SAFETY: `change` and the empty path outlive the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const change,
            size_of::<libc::mount_attr>(),
        ) as i32
    })
}

/// Opens a path beneath `directory`: no symbolic links, no `..`, no other mount.
pub(crate) fn open_beneath(directory: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: an all-zero open_how is a valid request.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK) as u64;
    how.resolve = libc::RESOLVE_BENEATH
        | libc::RESOLVE_NO_SYMLINKS
        | libc::RESOLVE_NO_MAGICLINKS
        | libc::RESOLVE_NO_XDEV;
    // SAFETY: `how` and the path outlive the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            directory.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        ) as i32
    };
    check(fd)?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A pair of connected sockets that keep messages apart.
pub(crate) fn seqpacket() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// A descriptor for this very process.
pub(crate) fn own_pidfd() -> io::Result<OwnedFd> {
    open_process(Pid::this())
}

/// A descriptor for a process. Of a child that nobody has reaped the number cannot mean another one.
pub(crate) fn open_process(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) as i32 };
    check(fd)?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal through a pidfd.
pub(crate) fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers and a null pointer, which means "no siginfo".
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<u8>(), 0)
            as i32
    })
}

/// How a child ended, from `wait4`: status word, CPU time in nanoseconds, peak resident bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reaped {
    pub(crate) status: i32,
    pub(crate) cpu_nanos: u64,
    pub(crate) peak_resident: u64,
}

/// Waits for the child to end and takes its status.
pub(crate) fn reap(pid: Pid) -> io::Result<Reaped> {
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid value to overwrite.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    retry(|| {
        // SAFETY: both pointers are to live values.
        check(unsafe { libc::wait4(pid.as_raw(), &raw mut status, libc::__WALL, &raw mut usage) })
    })?;
    let nanos = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1000;
    Ok(Reaped {
        status,
        cpu_nanos: nanos(usage.ru_utime) + nanos(usage.ru_stime),
        peak_resident: usage.ru_maxrss as u64 * 1024,
    })
}

/// Whether a process has ended, with all its threads. It need not be a child.
pub(crate) fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    matches!(poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], PollTimeout::ZERO), Ok(1..))
}

/// Whether a child was ended by SIGKILL. It is not reaped.
pub(crate) fn was_killed(child: &Child) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT | WaitPidFlag::__WALL;
    matches!(waitid(Id::PIDFd(child.pidfd.as_fd()), flags), Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _)))
}

/// CPU time of a whole process by the clock the kernel keeps for it, in nanoseconds.
pub(crate) fn process_cpu_nanos(pid: i32) -> io::Result<u64> {
    let clock: libc::clockid_t = (!pid << 3) | 2;
    // SAFETY: an all-zero timespec is a valid value to overwrite, and lives through the call.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: as above; an unknown clock is an error, not undefined.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Drops every capability but those in `keep` (bit numbers) from all sets, bounding set included.
pub(crate) fn keep_capabilities(keep: &[u32]) -> io::Result<()> {
    for capability in 0..64u32 {
        if !keep.contains(&capability) {
            // SAFETY: takes numbers only; numbers the kernel does not know are refused, and that is fine, and
            // so is a process that never had the right to drop them.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability as libc::c_ulong, 0, 0, 0) };
        }
    }
    // SAFETY: takes numbers only.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    set_capabilities(keep.iter().fold(0, |mask, capability| mask | 1u64 << capability))
}

/// Sets the permitted and effective sets to what of `mask` is permitted now; clears the inheritable set.
pub(crate) fn set_capabilities(mask: u64) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0u32];
    let mut sets = [0u32; 6];
    // SAFETY: header and sets have the layout of version 3: two words, two times three words.
    check(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) as i32 })?;
    let permitted = (u64::from(sets[1]) | u64::from(sets[4]) << 32) & mask;
    let (low, high) = (permitted as u32, (permitted >> 32) as u32);
    let sets = [low, low, 0, high, high, 0];
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) as i32 })
}

/// Drops every capability.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let (header, sets) = ([VERSION_3, 0u32], [0u32; 6]);
    // SAFETY: header and sets have the layout of version 3: two words, two times three words.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) as i32 })
}

/// Adds a filter of system calls to those of this process. Needs `no_new_privs`.
pub(crate) fn install_filter(program: &[sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: the kernel reads `len` instructions of the form that both types describe, during the call.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) as i32
    })
}

/// Whether this process holds the capability.
pub(crate) fn has_capability(capability: u32) -> bool {
    // Effective set of the running process, from the kernel's own account.
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << capability) != 0)
}

/// Clears close-on-exec.
pub(crate) fn keep_across_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: F_SETFD takes numbers only.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, 0) })
}

/// Sets close-on-exec.
pub(crate) fn close_on_exec(fd: impl AsFd) -> io::Result<()> {
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    Ok(())
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The kernel's landlock version; 0 when it has none.
pub(crate) fn landlock_version() -> i32 {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag the call takes a null pointer and a zero size.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        ) as i32
    };
    version.max(0)
}
