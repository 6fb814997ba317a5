//! Wall: system calls. Three lists, as data, with the reason beside each group:
//!
//! - `ALLOW`: what CPython, C++ programs and g++ need, some only with certain arguments;
//! - `REFUSE`: what libraries probe or try by accident, answered with an ordinary error;
//! - `KILL`: what nobody innocent calls; the run ends as `ForbiddenSyscall`.
//!
//! A number in none of them (a call newer than this list) gets ENOSYS, which C libraries take as "old kernel" and
//! work around. Each list is a filter of its own; the kernel applies the strictest answer. A call by another
//! architecture's table (`int 0x80`) or by x32 numbers is killed.

use std::collections::BTreeMap;
use std::io;

use crate::protocol::Class;
use libc::*;
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

/// When a listed call matches.
#[derive(Debug, Clone, Copy)]
enum When {
    Always,
    /// 32-bit argument equals one of these.
    Arg(u8, &'static [u64]),
    /// All these bits of the argument are zero.
    Clear(u8, u64),
    /// At least one of these bits of the argument is set.
    Any(u8, u64),
    /// All of these bits of the argument are set.
    All(u8, u64),
}
use When::{All, Always, Any, Arg, Clear};

const NEW_NAMESPACES: u64 = (CLONE_NEWNS
    | CLONE_NEWUTS
    | CLONE_NEWIPC
    | CLONE_NEWUSER
    | CLONE_NEWPID
    | CLONE_NEWNET
    | CLONE_NEWCGROUP) as u64;
const NAMESPACES: u64 = NEW_NAMESPACES | (CLONE_PTRACE | CLONE_UNTRACED | CLONE_PARENT) as u64 | 0x80; // CLONE_NEWTIME

#[rustfmt::skip]
const ALLOW: &[(c_long, When)] = &[
    // Hot first: the filter is a linear list.
    (SYS_read, Always), (SYS_write, Always), (SYS_mmap, Always), (SYS_munmap, Always), (SYS_brk, Always),
    (SYS_futex, Always), (SYS_lseek, Always), (SYS_fstat, Always), (SYS_newfstatat, Always),
    (SYS_openat, Always), (SYS_close, Always), (SYS_mprotect, Always), (SYS_mremap, Always),
    (SYS_madvise, Always), (SYS_rt_sigaction, Always), (SYS_rt_sigprocmask, Always),
    // Files: what may be opened is said by the mounts and by landlock; where nothing is writable, the
    // file system itself answers EROFS.
    (SYS_readv, Always), (SYS_writev, Always), (SYS_pread64, Always), (SYS_pwrite64, Always),
    (SYS_preadv, Always), (SYS_pwritev, Always), (SYS_open, Always), (SYS_creat, Always), (SYS_stat, Always),
    (SYS_lstat, Always), (SYS_statx, Always), (SYS_access, Always), (SYS_faccessat, Always),
    (SYS_faccessat2, Always), (SYS_readlink, Always), (SYS_readlinkat, Always), (SYS_getdents64, Always),
    (SYS_getcwd, Always), (SYS_chdir, Always), (SYS_fchdir, Always), (SYS_dup, Always), (SYS_dup2, Always),
    (SYS_dup3, Always), (SYS_pipe, Always), (SYS_pipe2, Always), (SYS_close_range, Always),
    (SYS_sendfile, Always), (SYS_fsync, Always), (SYS_fdatasync, Always), (SYS_fadvise64, Always),
    (SYS_statfs, Always), (SYS_fstatfs, Always), (SYS_umask, Always), (SYS_unlink, Always),
    (SYS_unlinkat, Always), (SYS_rename, Always), (SYS_renameat, Always), (SYS_renameat2, Always),
    (SYS_mkdir, Always), (SYS_mkdirat, Always), (SYS_rmdir, Always), (SYS_chmod, Always), (SYS_fchmod, Always),
    (SYS_fchmodat, Always), (SYS_link, Always), (SYS_linkat, Always), (SYS_symlink, Always),
    (SYS_symlinkat, Always), (SYS_truncate, Always), (SYS_ftruncate, Always), (SYS_fallocate, Always),
    (SYS_utimensat, Always), (SYS_mknod, Always), (SYS_mknodat, Always),
    // Flags and copies of descriptors; no locks, no leases, no notification, no larger pipe buffers.
    (SYS_fcntl, Arg(1, &[F_DUPFD as u64, F_DUPFD_CLOEXEC as u64, F_GETFD as u64, F_SETFD as u64,
                         F_GETFL as u64, F_SETFL as u64, F_GETPIPE_SZ as u64])),
    // "Is this a terminal", "how much is there to read", close-on-exec, non-blocking.
    (SYS_ioctl, Arg(1, &[TCGETS, TIOCGWINSZ, FIONREAD, FIOCLEX, FIONCLEX, FIONBIO])),
    (SYS_poll, Always), (SYS_ppoll, Always), (SYS_select, Always), (SYS_pselect6, Always),
    (SYS_epoll_create1, Always), (SYS_epoll_ctl, Always), (SYS_epoll_wait, Always), (SYS_epoll_pwait, Always),
    (SYS_eventfd2, Always),
    // An unnamed pair inside the process: asyncio wakes itself through one. Named sockets cannot be made, nor sent to:
    // a datagram would need no connection for that.
    (SYS_socketpair, Arg(0, &[AF_UNIX as u64])), (SYS_sendto, Clear(4, u64::MAX)), (SYS_recvfrom, Always),
    (SYS_getsockopt, Always), (SYS_setsockopt, Always), (SYS_getsockname, Always), (SYS_getpeername, Always),
    (SYS_shutdown, Always),
    // Processes and threads: how many is said by the control group. `clone` only without namespaces;
    // clone3 hides its flags behind a pointer, so it is answered ENOSYS like an unknown call.
    (SYS_clone, Clear(0, NAMESPACES)), (SYS_fork, Always), (SYS_vfork, Always), (SYS_execve, Always),
    (SYS_execveat, Always), (SYS_exit, Always), (SYS_exit_group, Always), (SYS_wait4, Always),
    (SYS_waitid, Always), (SYS_set_tid_address, Always), (SYS_set_robust_list, Always),
    (SYS_get_robust_list, Always), (SYS_rseq, Always), (SYS_membarrier, Always), (SYS_sched_yield, Always),
    (SYS_sched_getaffinity, Always), (SYS_sched_getparam, Always), (SYS_sched_getscheduler, Always),
    (SYS_sched_get_priority_max, Always), (SYS_sched_get_priority_min, Always), (SYS_getpriority, Always),
    // Thread-local storage only.
    (SYS_arch_prctl, Arg(0, &[0x1002, 0x1003])),
    (SYS_prctl, Arg(0, &[PR_SET_NAME as u64, PR_GET_NAME as u64, PR_SET_PDEATHSIG as u64,
                         PR_GET_DUMPABLE as u64, 0x5356_4d41 /* PR_SET_VMA: names of mappings */])),
    // Signals reach the guest's own pid namespace only.
    (SYS_kill, Always), (SYS_tkill, Always), (SYS_tgkill, Always), (SYS_rt_sigreturn, Always),
    (SYS_rt_sigpending, Always), (SYS_rt_sigtimedwait, Always), (SYS_rt_sigsuspend, Always),
    (SYS_rt_sigqueueinfo, Always), (SYS_sigaltstack, Always), (SYS_pause, Always), (SYS_alarm, Always),
    (SYS_setitimer, Always), (SYS_getitimer, Always), (SYS_restart_syscall, Always),
    // Time, identity, randomness, own limits (raising needs a right nobody has here).
    (SYS_nanosleep, Always), (SYS_clock_nanosleep, Always), (SYS_clock_gettime, Always),
    (SYS_clock_getres, Always), (SYS_gettimeofday, Always), (SYS_time, Always), (SYS_times, Always),
    (SYS_getrusage, Always), (SYS_getrandom, Always), (SYS_uname, Always), (SYS_sysinfo, Always),
    (SYS_getpid, Always), (SYS_getppid, Always), (SYS_gettid, Always), (SYS_getuid, Always),
    (SYS_geteuid, Always), (SYS_getgid, Always), (SYS_getegid, Always), (SYS_getresuid, Always),
    (SYS_getresgid, Always), (SYS_getgroups, Always), (SYS_getpgrp, Always), (SYS_getpgid, Always),
    (SYS_setpgid, Always), (SYS_getsid, Always), (SYS_setsid, Always), (SYS_getrlimit, Always),
    (SYS_setrlimit, Always), (SYS_prlimit64, Arg(0, &[0])), (SYS_getcpu, Always),
];

#[rustfmt::skip]
const REFUSE: &[(c_long, When)] = &[
    // A program that tries the network ends like one on a machine without network: an OSError it may catch.
    (SYS_socket, Always), (SYS_connect, Always), (SYS_bind, Always), (SYS_listen, Always), (SYS_accept, Always),
    (SYS_accept4, Always),
    // Becoming somebody else.
    (SYS_setuid, Always), (SYS_setgid, Always), (SYS_setreuid, Always), (SYS_setregid, Always),
    (SYS_setresuid, Always), (SYS_setresgid, Always), (SYS_setgroups, Always), (SYS_setfsuid, Always),
    (SYS_setfsgid, Always), (SYS_chown, Always), (SYS_fchown, Always), (SYS_lchown, Always),
    (SYS_fchownat, Always), (SYS_capset, Always),
    // Channels between two guests that see the same read-only file.
    (SYS_flock, Always),
    // Memory that can be executed under a name.
    (SYS_memfd_create, Always), (SYS_memfd_secret, Always),
    // A place on another core, a higher priority.
    (SYS_sched_setaffinity, Always), (SYS_sched_setscheduler, Always), (SYS_sched_setparam, Always),
    (SYS_sched_setattr, Always), (SYS_setpriority, Always),
    // Watching files; TypeScript's compiler asks at its start whether it could.
    (SYS_fanotify_init, Always), (SYS_fanotify_mark, Always),
];

#[rustfmt::skip]
const KILL: &[(c_long, When)] = &[
    // Looking into or steering another process.
    (SYS_ptrace, Always), (SYS_process_vm_readv, Always), (SYS_process_vm_writev, Always),
    (SYS_pidfd_getfd, Always), (SYS_kcmp, Always),
    // Other namespaces, other roots.
    (SYS_clone, Any(0, NAMESPACES)), (SYS_unshare, Always), (SYS_setns, Always), (SYS_mount, Always),
    (SYS_umount2, Always), (SYS_pivot_root, Always), (SYS_chroot, Always), (SYS_open_tree, Always),
    (SYS_move_mount, Always), (SYS_fsopen, Always), (SYS_fsconfig, Always), (SYS_fsmount, Always),
    (SYS_fspick, Always), (SYS_mount_setattr, Always), (SYS_sethostname, Always), (SYS_setdomainname, Always),
    (SYS_name_to_handle_at, Always), (SYS_open_by_handle_at, Always),
    // Wide or young kernel surface.
    (SYS_bpf, Always), (SYS_perf_event_open, Always), (SYS_userfaultfd, Always), (SYS_io_uring_setup, Always),
    (SYS_io_uring_enter, Always), (SYS_io_uring_register, Always), (SYS_keyctl, Always), (SYS_add_key, Always),
    (SYS_request_key, Always),
    (SYS_modify_ldt, Always), (SYS_iopl, Always), (SYS_ioperm, Always),
    // The machine itself.
    (SYS_kexec_load, Always), (SYS_kexec_file_load, Always), (SYS_init_module, Always),
    (SYS_finit_module, Always), (SYS_delete_module, Always), (SYS_reboot, Always), (SYS_swapon, Always),
    (SYS_swapoff, Always), (SYS_acct, Always), (SYS_quotactl, Always), (SYS_settimeofday, Always),
    (SYS_clock_settime, Always), (SYS_adjtimex, Always), (SYS_clock_adjtime, Always), (SYS_syslog, Always),
    (SYS_vhangup, Always),
];

/// What a child of a warm interpreter still needs between its fork and the guest's first instruction, and what a
/// guest is answered. The interpreter's own filters let these pass; the child's last filter, a short one, does not.
const UNTIL_THE_GUEST: &[(c_long, Answer)] = &[
    (SYS_setns, Answer::Kill),
    (SYS_capset, Answer::Refuse),
    (SYS_seccomp, Answer::Unknown),
    (SYS_landlock_restrict_self, Answer::Unknown),
    (SYS_recvmsg, Answer::Unknown),
    (SYS_clone, Answer::OnlyThreadsAndProcesses),
];

/// What a guest gets for a call that its warm interpreter needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Kill,
    Refuse,
    /// As for a call newer than the lists.
    Unknown,
    /// As the lists say: killed with the flags of [`NAMESPACES`], else allowed, where processes are.
    OnlyThreadsAndProcesses,
}

/// What runtimes that compile as they run make besides, allowed in slots of the cold class.
const WIDER: &[c_long] = &[
    // V8 marks the memory of its compiled code with a protection key; the JVM asks where memory lies.
    SYS_pkey_alloc,
    SYS_pkey_free,
    SYS_pkey_mprotect,
    SYS_mincore,
    SYS_get_mempolicy,
];

/// What is missing around a guest, so that system calls have to hold more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Missing {
    Nothing,
    /// A control group that counts processes and memory.
    Group,
    /// Namespaces too.
    Namespaces,
}

/// Where no control group counts processes, a guest may start threads only.
const THREADS_ONLY: &[(c_long, When)] =
    &[(SYS_fork, Always), (SYS_vfork, Always), (SYS_clone, Clear(0, CLONE_THREAD as u64))];

/// Where no control group counts memory, what is resident is the measure. Shared memory stays when it is no longer
/// mapped, and memory that a process has swapped out is nowhere to be seen.
const UNCOUNTED: &[(c_long, When)] =
    &[(SYS_mmap, Any(3, MAP_SHARED as u64)), (SYS_madvise, Arg(2, &[MADV_COLD as u64, MADV_PAGEOUT as u64]))];

/// The same for runtimes of the cold class, which map their own files shared.
const UNCOUNTED_COLD: &[(c_long, When)] = &[
    (SYS_mmap, All(3, (MAP_SHARED | MAP_ANONYMOUS) as u64)),
    (SYS_madvise, Arg(2, &[MADV_COLD as u64, MADV_PAGEOUT as u64])),
];

/// Where no mount namespace shows everything read-only: what landlock has no say over. Some files may be the guest's own.
const CHANGES: &[(c_long, When)] =
    &[(SYS_chmod, Always), (SYS_fchmod, Always), (SYS_fchmodat, Always), (SYS_utimensat, Always)];

/// Where no pid namespace hides other processes: calls whose first argument may name one. Only the caller's own
/// number and 0 pass; to all others the answer is that there is no such process.
const NAMES_A_PROCESS: [c_long; 11] = [
    SYS_kill,
    SYS_tgkill,
    SYS_tkill,
    SYS_rt_sigqueueinfo,
    SYS_prlimit64,
    SYS_getpgid,
    SYS_setpgid,
    SYS_getsid,
    SYS_sched_getaffinity,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
];

/// Calls whose first argument is a clock. Numbers beyond the fixed clocks name the CPU time of any process.
const NAMES_A_CLOCK: [c_long; 3] = [SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep];
const FIXED_CLOCKS: u32 = 16;

/// Stands for the guest's process number in a filter that is compiled before there is a guest.
pub(crate) const OWN_NUMBER: u32 = 0x7F4E_554D;

/// What the runtime of a container answers to a process that may not administer it.
const CONTAINED: &[(c_long, When)] = &[
    (SYS_clone, Any(0, NEW_NAMESPACES)),
    (SYS_unshare, Always),
    (SYS_setns, Always),
    (SYS_sethostname, Always),
];
const MOUNTS: &[(c_long, When)] = &[
    (SYS_mount, Always),
    (SYS_umount2, Always),
    (SYS_pivot_root, Always),
    (SYS_open_tree, Always),
    (SYS_move_mount, Always),
    (SYS_fsopen, Always),
    (SYS_fsmount, Always),
    (SYS_mount_setattr, Always),
];

/// The filters of a guest, compiled once per slot; installed in this order.
#[derive(Debug)]
pub(crate) struct Filters {
    lists: Vec<BpfProgram>,
    /// Whether each guest is held to its own process number besides.
    pinned: bool,
}

/// The same for guests that a warm process forks, in two parts.
#[derive(Debug)]
pub(crate) struct WarmFilters {
    /// For the warm process; inherited by its children.
    pub(crate) base: Vec<BpfProgram>,
    /// For each child without namespaces, first: [`OWN_NUMBER`] stands for its number.
    pub(crate) pin: Option<BpfProgram>,
    /// For each child, after which it is as restricted as any guest.
    pub(crate) last: BpfProgram,
}

impl WarmFilters {
    pub(crate) fn compile(missing: Missing) -> io::Result<WarmFilters> {
        let needed: Vec<c_long> = UNTIL_THE_GUEST.iter().map(|(number, _)| *number).collect();
        Ok(WarmFilters {
            base: stack(Class::Run, missing, &needed)?,
            pin: (missing == Missing::Namespaces).then(|| pin(OWN_NUMBER)),
            last: last_filter(missing == Missing::Nothing),
        })
    }
}

impl Filters {
    pub(crate) fn compile(class: Class, missing: Missing) -> io::Result<Filters> {
        let wider = if class == Class::Cold { WIDER } else { &[] };
        Ok(Filters { lists: stack(class, missing, wider)?, pinned: missing == Missing::Namespaces })
    }

    /// Installs all of them in the calling process. Needs `no_new_privs`.
    pub(crate) fn install(&self) -> io::Result<()> {
        let pin = self.pinned.then(|| pin(std::process::id()));
        pin.iter().chain(&self.lists).try_for_each(apply)
    }
}

/// Answers the calling process and its children as a host would that lacks namespaces, or only mounts.
pub(crate) fn contain(namespaces: bool) -> io::Result<()> {
    let refuse =
        |list, number: i32| apply(&filter(list, SeccompAction::Errno(number as u32), SeccompAction::Allow)?);
    refuse(MOUNTS, EACCES)?;
    if namespaces {
        refuse(&[(SYS_clone3, Always)], ENOSYS)?;
        refuse(CONTAINED, EPERM)?;
    }
    Ok(())
}

fn apply(program: &BpfProgram) -> io::Result<()> {
    seccompiler::apply_filter(program).map_err(io::Error::other)
}

/// The filters of the three lists, in the order to install them; the calls in `free` pass all of them.
fn stack(class: Class, missing: Missing, free: &[c_long]) -> io::Result<Vec<BpfProgram>> {
    let errno = |number: i32| SeccompAction::Errno(number as u32);
    let bound = |lists: &[&'static [(c_long, When)]]| -> Vec<(c_long, When)> {
        lists.iter().copied().flatten().copied().filter(|(number, _)| !free.contains(number)).collect()
    };
    let mut filters = vec![
        no_x32(),
        filter(&bound(&[REFUSE]), errno(EPERM), SeccompAction::Allow)?,
        filter(&bound(&[KILL]), SeccompAction::KillProcess, SeccompAction::Allow)?,
    ];
    if missing >= Missing::Group {
        filters.push(filter(&bound(&[THREADS_ONLY]), errno(EAGAIN), SeccompAction::Allow)?);
        let uncounted = if class == Class::Cold { UNCOUNTED_COLD } else { UNCOUNTED };
        filters.push(filter(uncounted, errno(EPERM), SeccompAction::Allow)?);
    }
    if missing >= Missing::Namespaces {
        filters.push(filter(CHANGES, errno(EPERM), SeccompAction::Allow)?);
    }
    // Last, for after it no filter can be installed any more. What the others answer passes here: of two
    // equally strict answers the kernel takes the younger filter's.
    let mut known = bound(&[ALLOW, REFUSE, KILL]);
    known.extend(free.iter().map(|number| (*number, Always)));
    filters.push(filter(&known, SeccompAction::Allow, errno(ENOSYS))?);
    Ok(filters)
}

fn filter(
    list: &[(c_long, When)],
    listed: SeccompAction,
    otherwise: SeccompAction,
) -> io::Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (number, when) in list {
        rules.entry(*number).or_default().extend(conditions(when).map_err(io::Error::other)?);
    }
    SeccompFilter::new(rules, otherwise, listed, TargetArch::x86_64)
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)
}

/// One rule per alternative; none means always.
fn conditions(when: &When) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let rule = |condition| SeccompRule::new(vec![condition]);
    match *when {
        Always => Ok(Vec::new()),
        Arg(index, values) => {
            values.iter().map(|value| rule(SeccompCondition::new(index, Dword, Eq, *value)?)).collect()
        }
        Clear(index, mask) => Ok(vec![rule(SeccompCondition::new(index, Qword, MaskedEq(mask), 0)?)?]),
        All(index, mask) => Ok(vec![rule(SeccompCondition::new(index, Qword, MaskedEq(mask), mask)?)?]),
        Any(index, mask) => (0..64)
            .map(|bit| 1u64 << bit)
            .filter(|bit| mask & bit != 0)
            .map(|bit| rule(SeccompCondition::new(index, Qword, MaskedEq(bit), bit)?))
            .collect(),
    }
}

// What hand-written filters are made of: instructions of classic BPF.
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
/// Where the kernel puts the call's number and the low half of its first argument.
const NUMBER: u32 = 0;
const FIRST_ARGUMENT: u32 = 16;

fn op(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Kills calls by x32 numbers (bit 30, not the sign): same architecture mark, other table.
fn no_x32() -> BpfProgram {
    vec![
        op(LOAD, 0, 0, NUMBER),
        op(JUMP_AT_LEAST, 2, 0, 0x8000_0000),
        op(JUMP_AT_LEAST, 0, 1, 0x4000_0000),
        op(RETURN, 0, 0, SECCOMP_RET_KILL_PROCESS),
        op(RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]
}

/// Holds a process to its own number, and to the parent it has: see [`NAMES_A_PROCESS`].
fn pin(own: u32) -> BpfProgram {
    let errno = |number: i32| SECCOMP_RET_ERRNO | number as u32;
    let mut program = vec![op(LOAD, 0, 0, NUMBER)];
    for number in NAMES_A_PROCESS {
        program.extend([
            op(JUMP_EQUAL, 0, 5, number as u32),
            op(LOAD, 0, 0, FIRST_ARGUMENT),
            op(JUMP_EQUAL, 2, 0, 0),
            op(JUMP_EQUAL, 1, 0, own),
            op(RETURN, 0, 0, errno(ESRCH)),
            op(RETURN, 0, 0, SECCOMP_RET_ALLOW),
        ]);
    }
    for number in NAMES_A_CLOCK {
        program.extend([
            op(JUMP_EQUAL, 0, 4, number as u32),
            op(LOAD, 0, 0, FIRST_ARGUMENT),
            op(JUMP_AT_LEAST, 0, 1, FIXED_CLOCKS),
            op(RETURN, 0, 0, errno(EINVAL)),
            op(RETURN, 0, 0, SECCOMP_RET_ALLOW),
        ]);
    }
    program.extend([
        // The parent is none of its business: error number 0 makes the call answer 0, as in a pid namespace.
        op(JUMP_EQUAL, 0, 1, SYS_getppid as u32),
        op(RETURN, 0, 0, errno(0)),
        // It dies with its parent.
        op(JUMP_EQUAL, 0, 3, SYS_prctl as u32),
        op(LOAD, 0, 0, FIRST_ARGUMENT),
        op(JUMP_EQUAL, 0, 1, PR_SET_PDEATHSIG as u32),
        op(RETURN, 0, 0, errno(EPERM)),
        op(RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]);
    program
}

/// The last filter of a warm interpreter's child: short, because the kernel compiles it for every run.
fn last_filter(may_fork: bool) -> BpfProgram {
    let errno = |number: i32| SECCOMP_RET_ERRNO | number as u32;
    let mut answers: Vec<(c_long, u32)> = Vec::new();
    for (number, answer) in UNTIL_THE_GUEST {
        match answer {
            Answer::Kill => answers.push((*number, SECCOMP_RET_KILL_PROCESS)),
            Answer::Refuse => answers.push((*number, errno(EPERM))),
            Answer::Unknown => answers.push((*number, errno(ENOSYS))),
            Answer::OnlyThreadsAndProcesses => {}
        }
    }
    if !may_fork {
        answers.extend([SYS_fork, SYS_vfork].map(|number| (number, errno(EAGAIN))));
    }
    let mut program = vec![op(LOAD, 0, 0, NUMBER)];
    for (number, answer) in answers {
        program.extend([op(JUMP_EQUAL, 0, 1, number as u32), op(RETURN, 0, 0, answer)]);
    }
    program.extend([
        op(JUMP_EQUAL, 1, 0, SYS_clone as u32),
        op(RETURN, 0, 0, SECCOMP_RET_ALLOW),
        op(LOAD, 0, 0, FIRST_ARGUMENT),
        op(JUMP_ANY_BIT, 0, 1, NAMESPACES as u32),
        op(RETURN, 0, 0, SECCOMP_RET_KILL_PROCESS),
    ]);
    if !may_fork {
        program.extend([op(JUMP_ANY_BIT, 1, 0, CLONE_THREAD as u32), op(RETURN, 0, 0, errno(EAGAIN))]);
    }
    program.push(op(RETURN, 0, 0, SECCOMP_RET_ALLOW));
    program
}

/// The instructions as the kernel reads them: 16 bits, twice 8, 32.
pub(crate) fn to_bytes(program: &[sock_filter]) -> Vec<u8> {
    let bytes =
        |op: &sock_filter| [&op.code.to_ne_bytes()[..], &[op.jt, op.jf], &op.k.to_ne_bytes()[..]].concat();
    program.iter().flat_map(bytes).collect()
}
