//! The spawner: the one process that holds privileges. Single-threaded, reads no program and no input; it
//! makes slots when told to, hands their sockets and counters to the client, and cleans up what ends.
//!
//! It ends when its client goes away, its guardian dies or it is told to, and takes every slot and group with it.
//! Killed itself, it takes the slots with it as well (parent-death signal); the groups it leaves are swept by the next
//! one, when that starts and again when it ends, for a slot may take a moment to die.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{getegid, geteuid};
use serde::de::IgnoredAny;

use crate::language::Work;
use crate::protocol::{self, Answer, Class, Failure, Handle, HostReport, Order, Plan, Room, Root};
use crate::sys::{self, Child};
use crate::toolchain::{self, Place, Reader};
use crate::walls::cgroup::{Group, Hierarchy};
use crate::walls::{bare, namespaces, seccomp, step};
use crate::{Lack, Language, Tier, host, slot};

/// `argv[0]` of a spawner.
pub(crate) const NAME: &str = "assay: spawner";
/// In its environment: what the host shall seem to lack.
pub(crate) const WITHOUT_VARIABLE: &str = "ASSAY_WITHOUT";
/// First user number of guests under root. Slot n gets the n-th of [`USERS`], counted from the spawner's process number:
/// two spawners of one host do not begin with the same.
const FIRST_USER: u32 = 58_000;
const USERS: u64 = 1_000;
const CAP_SYS_ADMIN: u32 = 21;
/// To give a guest a user of its own, and to end it: `CAP_KILL`, `CAP_SETGID`, `CAP_SETUID`.
const TO_CHANGE_USER: [u32; 3] = [5, 6, 7];
/// What the runtimes of containers leave to root by default.
const OF_CONTAINERS: [u32; 14] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];

/// Why tier D has no compilers, and no runtimes but Python's.
const NO_TOOL: &str = "it writes files and may start processes, which guests without namespaces may not: languages other \
                       than Python need a host that allows namespaces";
/// What is said of a slot-init that ended and had no failure to tell.
const WORDLESS: &str = "slot-init ended before its walls stood";
/// How long a slot-init may take to build its walls, in milliseconds.
const BUILDING: u16 = 30_000;

/// What the host turned out to give.
struct Host {
    mode: Mode,
    /// The tools asked for so far, each looked for once.
    tools: HashMap<Room, Result<Place, String>>,
    report: HostReport,
}

/// A way to build slots.
#[derive(Debug, Clone)]
struct Mode {
    tier: Tier,
    namespaces: Namespaces,
    /// Each slot has a user of its own.
    own_users: bool,
    groups: Option<Hierarchy>,
}

impl Mode {
    fn name(&self) -> String {
        let groups = if self.groups.is_some() { "groups" } else { "no groups" };
        let users = if self.own_users { "own users" } else { "one user" };
        format!("{}: {:?} namespaces, {groups}, {users}", self.tier.name(), self.namespaces)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Namespaces {
    /// Made with the rights this process has.
    Plain,
    /// Below a user namespace, where an ordinary user has the rights.
    User,
    None,
}

/// A living slot-init.
struct Slot {
    child: Child,
    group: Option<Group>,
    directory: Option<PathBuf>,
}

/// A slot as it goes to the client.
struct Made {
    socket: OwnedFd,
    process: OwnedFd,
    handles: Vec<(Handle, OwnedFd)>,
}

struct Spawner {
    client: OwnedFd,
    /// Orders to end.
    signals: SignalFd,
    /// The mode that was promised to the client before this process was there.
    promised: Option<String>,
    host: Option<Host>,
    slots: Vec<Slot>,
    /// Made by the probe, given out with the first order.
    spare: Option<Made>,
    made: u64,
}

/// Plays spawner on the socket at fd 0. Returns only to exit.
pub(crate) fn main() -> i32 {
    let Ok(client) = sys::inherit(0).and_then(|fd| sys::duplicate_above(fd.as_fd(), 16)) else { return 3 };
    let Ok(signals) = stop_signals() else { return 3 };
    let mut spawner =
        Spawner { client, signals, promised: None, host: None, slots: Vec::new(), spare: None, made: 0 };
    let _ = nix::sys::prctl::set_dumpable(false);
    if do_without(&lacks()).is_err() {
        return 3;
    }
    spawner.serve();
    spawner.end_all();
    0
}

/// What would end this process, to be read instead.
fn stop_signals() -> io::Result<SignalFd> {
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT]);
    signals.thread_block()?;
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?)
}

impl Spawner {
    /// Until the client goes away, or a signal says so.
    fn serve(&mut self) {
        loop {
            self.bury();
            let mut ready = vec![
                PollFd::new(self.client.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            ready.extend(self.slots.iter().map(|s| PollFd::new(s.child.pidfd.as_fd(), PollFlags::POLLIN)));
            match poll(&mut ready, PollTimeout::NONE) {
                Err(nix::Error::EINTR) => continue,
                Err(_) => return,
                Ok(_) => {}
            }
            if ready[1].any() == Some(true) {
                return;
            }
            if ready[0].any() != Some(true) {
                continue;
            }
            let Ok(Some((order, _))) = protocol::receive::<Order>(&self.client) else { return };
            if self.answer(&order).is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, order: &Order) -> io::Result<()> {
        if let Order::Probe(Some(mode)) = order {
            self.promised = Some(mode.clone());
        }
        let answer = match self.prepare() {
            Err(failure) => Err(failure),
            Ok(()) => match order {
                Order::Probe(_) => Ok(None),
                Order::Find(room) => {
                    let found = self.find(room);
                    return protocol::send(&self.client, &Answer::Tool(found), &[]);
                }
                Order::Slot(room) => self.give(room).map(Some),
            },
        };
        match answer {
            Err(failure) => protocol::send(&self.client, &Answer::Failed(failure), &[]),
            Ok(None) => {
                let report = self.host.as_ref().map(|host| host.report.clone()).unwrap_or_default();
                protocol::send(&self.client, &Answer::Host(report), &[])
            }
            Ok(Some(made)) => {
                let handles = made.handles.iter().map(|(handle, _)| *handle).collect();
                let mut fds: Vec<BorrowedFd<'_>> = vec![made.socket.as_fd(), made.process.as_fd()];
                fds.extend(made.handles.iter().map(|(_, fd)| fd.as_fd()));
                protocol::send(&self.client, &Answer::Slot { handles }, &fds)
            }
        }
    }

    /// Finds the best mode by building a slot in it; of a client that was promised one, that one alone.
    fn prepare(&mut self) -> Result<(), Failure> {
        if self.host.is_some() {
            return Ok(());
        }
        step("spawner", || Language::load_configured().map_err(io::Error::other))?;
        let (mut modes, mut remarks) = candidates(&lacks());
        if let Some(promised) = &self.promised {
            modes.retain(|mode| mode.name() == *promised);
        }
        let mut reasons = Vec::new();
        if modes.is_empty() {
            reasons.push(format!(
                "what it gave before is gone: {}",
                self.promised.as_deref().unwrap_or_default()
            ));
        }
        for mode in modes {
            if let Some(groups) = &mode.groups {
                groups.sweep();
            }
            if mode.namespaces == Namespaces::None {
                bare::sweep();
            }
            let mut host = Host { mode, tools: HashMap::new(), report: HostReport::default() };
            match self.make_first(&mut host) {
                Ok(made) => {
                    self.spare = Some(made);
                    let report = report(&host, &remarks.join("; "));
                    self.host = Some(Host { report, ..host });
                    return Ok(());
                }
                Err(failure) => {
                    let reason = format!("{}: {}", failure.step, failure.text);
                    remarks.push(reason.clone());
                    reasons.push(reason);
                }
            }
        }
        Err(Failure {
            step: "namespaces".into(),
            errno: 0,
            text: format!("this host allows no walls that hold ({}). {}", reasons.join("; "), host::advice()),
        })
    }

    /// The slot that shows whether a mode works. A slot-init that somebody kills says nothing of that.
    fn make_first(&mut self, host: &mut Host) -> Result<Made, Failure> {
        let mut tries = 3;
        loop {
            tries -= 1;
            match self.make(host, &first_room()) {
                Err(failure) if failure.text == WORDLESS && tries > 0 => {}
                other => return other,
            }
        }
    }

    fn find(&mut self, room: &Room) -> Result<protocol::Found, String> {
        let host = self.host.as_mut().ok_or("not prepared")?;
        host.tool(room).as_ref().map(|place| place.found.clone()).map_err(String::clone)
    }

    fn give(&mut self, room: &Room) -> Result<Made, Failure> {
        if *room == first_room()
            && let Some(made) = self.spare.take()
        {
            return Ok(made);
        }
        let Some(mut host) = self.host.take() else {
            return Err(Failure::new("spawner", &io::Error::other("not prepared")));
        };
        let made = self.make(&mut host, room);
        self.host = Some(host);
        made
    }

    /// Makes a slot: group, process, walls.
    fn make(&mut self, host: &mut Host, room: &Room) -> Result<Made, Failure> {
        self.made += 1;
        let groups = host.mode.groups.clone();
        let groups = groups.as_ref();
        let group = groups.map(|groups| step("cgroup", || groups.create(self.made))).transpose()?;
        let handles = match (groups, &group) {
            (Some(groups), Some(group)) => step("cgroup", || groups.handles(group))?,
            _ => Vec::new(),
        };
        let bare = host.mode.namespaces == Namespaces::None;
        let directory = bare.then(|| step("source", || bare::make_directory(self.made))).transpose()?;
        let plan = self.plan(host, room, group.as_ref(), directory.clone());
        match start(&plan, host.mode.namespaces) {
            Ok((child, socket)) => {
                let process = step("slot", || child.pidfd.try_clone());
                self.slots.push(Slot { child, group, directory });
                Ok(Made { socket, process: process?, handles })
            }
            Err(failure) => {
                if let Some(group) = &group {
                    group.kill();
                }
                remove(group.as_ref(), directory.as_deref());
                Err(failure)
            }
        }
    }

    fn plan(&self, host: &mut Host, room: &Room, group: Option<&Group>, directory: Option<PathBuf>) -> Plan {
        // A slot without its tool still runs native programs.
        let (program, root) = match host.tool(room) {
            Ok(place) => (Some(place.program.clone()), place.root.clone()),
            Err(_) => (None, Root::default()),
        };
        let mode = &host.mode;
        let number = (u64::from(std::process::id()) + self.made) % USERS;
        Plan {
            class: room.class,
            tier: host.mode.tier.name().into(),
            groups: group.map(|group| group.directories.clone()).unwrap_or_default(),
            user: mode.own_users.then_some(FIRST_USER + number as u32),
            map: (mode.namespaces == Namespaces::User).then(|| (geteuid().as_raw(), getegid().as_raw())),
            directory,
            may_fork: group.is_some(),
            root: if room.class == Class::Compile { root } else { with_loader(root) },
            program,
        }
    }

    /// Takes the status of slot-inits that ended, and their groups away.
    fn bury(&mut self) {
        self.slots.retain(|slot| {
            let ended = sys::has_ended(slot.child.pidfd.as_fd());
            if ended {
                end(slot);
            }
            !ended
        });
    }

    fn end_all(&mut self) {
        self.spare = None;
        for slot in &self.slots {
            let _ = sys::signal(slot.child.pidfd.as_fd(), libc::SIGKILL);
        }
        for slot in self.slots.drain(..) {
            end(&slot);
        }
        if let Some(groups) = self.host.as_ref().and_then(|host| host.mode.groups.as_ref()) {
            groups.sweep();
        }
    }
}

impl Host {
    /// The room's tool, looked for when it is first asked for.
    fn tool(&mut self, room: &Room) -> &Result<Place, String> {
        let mode = &self.mode;
        let reader = match (mode.own_users, mode.namespaces) {
            (false, _) => Reader::Owner,
            (true, Namespaces::None) => Reader::Stranger,
            (true, _) => Reader::Shown,
        };
        let bare = mode.namespaces == Namespaces::None;
        self.tools.entry(room.clone()).or_insert_with(|| {
            let language = Language::from_name(&room.language)
                .ok_or_else(|| format!("no language {}", room.language))?;
            match room.class {
                Class::Compile | Class::Cold if bare => Err(NO_TOOL.into()),
                Class::Compile => toolchain::find(language, Work::Compile, reader),
                Class::Cold | Class::Run => toolchain::find(language, Work::Run, reader),
            }
        })
    }
}

/// Where most programs run; a slot of it is what the probe builds.
fn first_room() -> Room {
    Room { class: Class::Run, language: Language::Python3.name().into() }
}

fn end(slot: &Slot) {
    if let Some(group) = &slot.group {
        group.kill();
    }
    let _ = sys::signal(slot.child.pidfd.as_fd(), libc::SIGKILL);
    let _ = sys::reap(slot.child.pid);
    remove(slot.group.as_ref(), slot.directory.as_deref());
}

/// Takes away what a slot had outside of its namespaces.
fn remove(group: Option<&Group>, directory: Option<&Path>) {
    if let Some(group) = group {
        group.remove();
    }
    if let Some(directory) = directory {
        let _ = bare::remove_directory(directory);
    }
}

/// Clones a slot-init and waits until its walls stand.
fn start(plan: &Plan, namespaces: Namespaces) -> Result<(Child, OwnedFd), Failure> {
    let (ours, theirs) = step("slot", sys::seqpacket)?;
    let (client, guest_side) = step("slot", sys::seqpacket)?;
    let flags = match namespaces {
        Namespaces::Plain => namespaces::slot_flags(false),
        Namespaces::User => namespaces::slot_flags(true),
        Namespaces::None => CloneFlags::empty(),
    };
    let child = step("namespaces", || sys::fork(flags))?;
    let Some(child) = child else {
        let failure = become_slot(plan, theirs.as_fd());
        // As in slot-init: with one of its two messages unread, the answer would be lost.
        for _ in 0..2 {
            let _ = protocol::receive::<IgnoredAny>(&theirs);
        }
        let _ = protocol::send(&theirs, &Err::<(), Failure>(failure), &[]);
        sys::exit_now(125);
    };
    drop(theirs);
    let built = step("slot", || {
        protocol::send(&ours, plan, &[])?;
        protocol::send(&ours, &(), &[guest_side.as_fd()])?;
        if poll(&mut [PollFd::new(ours.as_fd(), PollFlags::POLLIN)], BUILDING)? == 0 {
            return Err(io::Error::other("slot-init does not answer"));
        }
        protocol::receive::<Result<(), Failure>>(&ours)
    });
    let failure = match built {
        Ok(Some((Ok(()), _))) => return Ok((child, client)),
        Ok(Some((Err(failure), _))) | Err(failure) => failure,
        Ok(None) => Failure::new("slot", &io::Error::other(WORDLESS)),
    };
    let _ = sys::signal(child.pidfd.as_fd(), libc::SIGKILL);
    let _ = sys::reap(child.pid);
    Err(failure)
}

/// The forked child: maps its user where that is needed, then becomes slot-init by exec.
fn become_slot(plan: &Plan, socket: BorrowedFd<'_>) -> Failure {
    if let Some(map) = plan.map {
        // The kernel lets only a dumpable process write its own maps.
        let mapped = step("user map", || {
            nix::sys::prctl::set_dumpable(true)?;
            namespaces::map_user(map)
        });
        if let Err(failure) = mapped {
            return failure;
        }
    }
    let result = socket.try_clone_to_owned().map(|socket| {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(slot::NAME).env_clear().stdin(socket);
        #[cfg(feature = "removable-walls")]
        command.envs(std::env::var(WITHOUT_VARIABLE).map(|names| (WITHOUT_VARIABLE, names)));
        command.exec()
    });
    Failure::new("slot", &result.unwrap_or_else(|error| error))
}

/// What the environment says this host shall seem to lack.
pub(crate) fn lacks() -> Vec<Lack> {
    Lack::from_names(&std::env::var(WITHOUT_VARIABLE).unwrap_or_default())
}

/// Gives up what is to be done without; everything made from here on inherits that.
fn do_without(lacks: &[Lack]) -> io::Result<()> {
    let namespaces = lacks.contains(&Lack::Namespaces);
    if namespaces || lacks.contains(&Lack::Mounts) {
        seccomp::contain(namespaces)?;
    }
    if lacks.contains(&Lack::Users) {
        sys::keep_capabilities(&[])?;
    } else if namespaces {
        sys::keep_capabilities(&OF_CONTAINERS)?;
    }
    Ok(())
}

/// The modes to try, best first, and why better ones are not among them.
fn candidates(lacks: &[Lack]) -> (Vec<Mode>, Vec<String>) {
    let mut modes = Vec::new();
    let mut remarks = Vec::new();
    let groups = match lacks.contains(&Lack::Groups) {
        true => Err(io::Error::other("not to be used")),
        false => Hierarchy::find(),
    };
    let groups = groups.map_err(|error| remarks.push(error.to_string())).ok();
    let with_rights = |tier, groups| Mode { tier, namespaces: Namespaces::Plain, own_users: true, groups };
    let user_mode = |groups| Mode { tier: Tier::C, namespaces: Namespaces::User, own_users: false, groups };
    if geteuid().is_root() && sys::has_capability(CAP_SYS_ADMIN) {
        if let Some(groups) = &groups {
            let tier = if matches!(groups, Hierarchy::Unified(_)) { Tier::A } else { Tier::B };
            modes.push(with_rights(tier, Some(groups.clone())));
        }
        modes.push(with_rights(Tier::C, None));
    }
    if let Some(delegated @ Hierarchy::Unified(_)) = groups {
        modes.push(user_mode(Some(delegated)));
    }
    modes.push(user_mode(None));
    let own_users = TO_CHANGE_USER.into_iter().all(sys::has_capability);
    modes.push(Mode { tier: Tier::D, namespaces: Namespaces::None, own_users, groups: None });
    (modes, remarks)
}

/// Native programs linked dynamically need the loader and the system's libraries; with an interpreter they are
/// shown already.
fn with_loader(mut root: Root) -> Root {
    for path in
        ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64"]
    {
        let path = PathBuf::from(path);
        let known =
            root.binds.iter().any(|(_, target)| path.starts_with(target) || target.starts_with(&path));
        if path.exists() && !known {
            let source = path.canonicalize().unwrap_or_else(|_| path.clone());
            root.binds.push((source, path));
        }
    }
    root
}

/// The state of every wall, for people.
fn report(host: &Host, remarks: &str) -> HostReport {
    let wall = |name: &str, state: &str, text: &str| (name.to_string(), state.to_string(), text.to_string());
    let up = |name: &str, text: &str| wall(name, "up", text);
    let weaker = |name: &str, text: &str| wall(name, "weaker", text);
    let mode = &host.mode;
    let walls = vec![
        match mode.namespaces {
            Namespaces::Plain => up("namespaces", "mount, pid, net, ipc, uts, cgroup"),
            Namespaces::User => up("namespaces", "user, mount, pid, net, ipc, uts, cgroup"),
            Namespaces::None => {
                let text = format!("none can be made ({remarks}). {}", host::advice());
                wall("namespaces", "missing", &text)
            }
        },
        match mode.namespaces {
            Namespaces::None => weaker(
                "root",
                "the host's, of which landlock opens what an interpreter needs; of any other file a program can ask \
                 whether it is there. A mount namespace would provide a root of its own",
            ),
            _ => up("root", "read-only, no procfs, no writable path"),
        },
        match (mode.namespaces, mode.own_users) {
            (_, true) => up("credentials", "no capabilities; a user number per slot"),
            (Namespaces::None, false) => weaker(
                "credentials",
                "no capabilities; the sandbox's own user, whom landlock and the system-call list hold. CAP_SETUID, \
                 CAP_SETGID and CAP_KILL would provide a user number per slot",
            ),
            (_, false) => up("credentials", "no capabilities; the only user of a user namespace"),
        },
        match &mode.groups {
            Some(Hierarchy::Unified(_)) => up("cgroup", "v2: memory, processes, CPU time"),
            Some(Hierarchy::Legacy { unified: Some(_), .. }) => {
                up("cgroup", "v1: memory, processes, CPU time; v2 ends slots")
            }
            Some(Hierarchy::Legacy { unified: None, .. }) => up("cgroup", "v1: memory, processes, CPU time"),
            None => weaker(
                "cgroup",
                &format!(
                    "no control group ({remarks}): memory and CPU time are watched per process and guests may start \
                     threads but no processes; a writable cgroup below the own one would provide it \
                     (systemd-run --scope -p Delegate=yes, or root)"
                ),
            ),
        },
        up("rlimits", ""),
        match sys::landlock_version() {
            0 => wall(
                "landlock",
                "missing",
                "a kernel from 5.13 with landlock among its security modules (lsm=landlock,...) would provide it",
            ),
            version => up("landlock", &format!("ABI {version}")),
        },
        match mode.namespaces {
            Namespaces::None => {
                up("seccomp", "three lists: allow, refuse, kill; a guest may name no process but itself")
            }
            _ => up("seccomp", "three lists: allow, refuse, kill"),
        },
    ];
    HostReport { tier: Some(mode.tier.name().into()), mode: mode.name(), walls }
}
