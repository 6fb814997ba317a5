//! The spawner: the one process that holds privileges. Single-threaded, reads no program and no input; it
//! makes slots when told to, hands their sockets and counters to the client, and cleans up what ends.
//!
//! It ends when its client goes away, and takes every slot with it. Killed itself, it takes them with it as
//! well (parent-death signal); the groups it leaves are swept by the next one.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{getegid, geteuid};

use crate::language::Work;
use crate::protocol::{self, Answer, Class, Failure, Handle, HostReport, Order, Plan, Room, Root};
use crate::sys::{self, Child};
use crate::toolchain::{self, Place};
use crate::walls::cgroup::{Group, Hierarchy};
use crate::walls::{namespaces, step};
use crate::{Lack, Language, Tier, slot};

/// `argv[0]` of a spawner.
pub(crate) const NAME: &str = "assay: spawner";
/// In its environment: what the host shall seem to lack.
pub(crate) const WITHOUT_VARIABLE: &str = "ASSAY_WITHOUT";
/// First user number of guests under root. Slot n gets the n-th of [`USERS`], counted from the spawner's process number:
/// two spawners of one host do not begin with the same.
const FIRST_USER: u32 = 58_000;
const USERS: u64 = 1_000;
const CAP_SYS_ADMIN: u32 = 21;

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
    user_namespace: bool,
    groups: Option<Hierarchy>,
}

/// A living slot-init.
struct Slot {
    child: Child,
    group: Option<Group>,
}

/// A slot as it goes to the client.
struct Made {
    socket: OwnedFd,
    handles: Vec<(Handle, OwnedFd)>,
}

struct Spawner {
    client: OwnedFd,
    host: Option<Host>,
    slots: Vec<Slot>,
    /// Made by the probe, given out with the first order.
    spare: Option<Made>,
    made: u64,
}

/// Plays spawner on the socket at fd 0. Returns only to exit.
pub(crate) fn main() -> i32 {
    let Ok(client) = sys::inherit(0).and_then(|fd| sys::duplicate_above(fd.as_fd(), 16)) else { return 3 };
    let mut spawner = Spawner { client, host: None, slots: Vec::new(), spare: None, made: 0 };
    let _ = nix::sys::prctl::set_dumpable(false);
    spawner.serve();
    spawner.end_all();
    0
}

impl Spawner {
    /// Until the client goes away.
    fn serve(&mut self) {
        loop {
            self.bury();
            let mut ready = vec![PollFd::new(self.client.as_fd(), PollFlags::POLLIN)];
            ready.extend(self.slots.iter().map(|s| PollFd::new(s.child.pidfd.as_fd(), PollFlags::POLLIN)));
            match poll(&mut ready, PollTimeout::NONE) {
                Err(nix::Error::EINTR) => continue,
                Err(_) => return,
                Ok(_) => {}
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
        let answer = match self.prepare() {
            Err(failure) => Err(failure),
            Ok(()) => match order {
                Order::Probe => Ok(None),
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
                let mut fds: Vec<BorrowedFd<'_>> = vec![made.socket.as_fd()];
                fds.extend(made.handles.iter().map(|(_, fd)| fd.as_fd()));
                protocol::send(&self.client, &Answer::Slot { handles }, &fds)
            }
        }
    }

    /// Finds the best mode by building a slot in it.
    fn prepare(&mut self) -> Result<(), Failure> {
        if self.host.is_some() {
            return Ok(());
        }
        step("spawner", || Language::load_configured().map_err(io::Error::other))?;
        let lacks = Lack::from_names(&std::env::var(WITHOUT_VARIABLE).unwrap_or_default());
        let (modes, mut remarks) = candidates(&lacks);
        let mut reasons = Vec::new();
        for mode in modes {
            if let Some(groups) = &mode.groups {
                groups.sweep();
            }
            let mut host = Host { mode, tools: HashMap::new(), report: HostReport::default() };
            match self.make(&mut host, &first_room()) {
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
            text: format!(
                "this host lets neither root walls nor user namespaces be built ({}); give the process \
                 CAP_SYS_ADMIN, or allow unprivileged user namespaces (sysctl user.max_user_namespaces, \
                 kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)",
                reasons.join("; ")
            ),
        })
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
        let plan = self.plan(host, room, group.as_ref());
        match start(&plan, host.mode.user_namespace) {
            Ok((child, socket)) => {
                self.slots.push(Slot { child, group });
                Ok(Made { socket, handles })
            }
            Err(failure) => {
                if let Some(group) = group {
                    group.kill();
                    group.remove();
                }
                Err(failure)
            }
        }
    }

    fn plan(&self, host: &mut Host, room: &Room, group: Option<&Group>) -> Plan {
        // A slot without its tool still runs native programs.
        let (program, root) = match host.tool(room) {
            Ok(place) => (Some(place.program.clone()), place.root.clone()),
            Err(_) => (None, Root::default()),
        };
        let separate_user = !host.mode.user_namespace;
        Plan {
            class: room.class,
            tier: host.mode.tier.name().into(),
            groups: group.map(|group| group.directories.clone()).unwrap_or_default(),
            user: separate_user
                .then(|| FIRST_USER + ((u64::from(std::process::id()) + self.made) % USERS) as u32),
            map: (!separate_user).then(|| (geteuid().as_raw(), getegid().as_raw())),
            may_fork: group.is_some(),
            root: if room.class == Class::Run { with_loader(root) } else { root },
            program,
        }
    }

    /// Takes the status of slot-inits that ended, and their groups away.
    fn bury(&mut self) {
        self.slots.retain(|slot| {
            let mut ready = [PollFd::new(slot.child.pidfd.as_fd(), PollFlags::POLLIN)];
            let ended = matches!(poll(&mut ready, PollTimeout::ZERO), Ok(1..));
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
    }
}

impl Host {
    /// The room's tool, looked for when it is first asked for.
    fn tool(&mut self, room: &Room) -> &Result<Place, String> {
        let readable_by_all = !self.mode.user_namespace;
        self.tools.entry(room.clone()).or_insert_with(|| {
            let language = Language::from_name(&room.language)
                .ok_or_else(|| format!("no language {}", room.language))?;
            let work = if room.class == Class::Compile { Work::Compile } else { Work::Run };
            toolchain::find(language, work, readable_by_all)
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
    if let Some(group) = &slot.group {
        group.remove();
    }
}

/// Clones a slot-init and waits until its walls stand.
fn start(plan: &Plan, user_namespace: bool) -> Result<(Child, OwnedFd), Failure> {
    let (ours, theirs) = step("slot", sys::seqpacket)?;
    let (client, guest_side) = step("slot", sys::seqpacket)?;
    let child = step("namespaces", || sys::fork(namespaces::slot_flags(user_namespace)))?;
    let Some(child) = child else {
        let failure = become_slot(plan, theirs.as_fd());
        let _ = protocol::send(&theirs, &Err::<(), Failure>(failure), &[]);
        sys::exit_now(125);
    };
    drop(theirs);
    let built = step("slot", || {
        protocol::send(&ours, plan, &[])?;
        protocol::send(&ours, &(), &[guest_side.as_fd()])?;
        protocol::receive::<Result<(), Failure>>(&ours)
    });
    let failure = match built {
        Ok(Some((Ok(()), _))) => return Ok((child, client)),
        Ok(Some((Err(failure), _))) | Err(failure) => failure,
        Ok(None) => Failure::new("slot", &io::Error::other("slot-init ended before its walls stood")),
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
    let result = socket
        .try_clone_to_owned()
        .map(|socket| Command::new("/proc/self/exe").arg0(slot::NAME).env_clear().stdin(socket).exec());
    Failure::new("slot", &result.unwrap_or_else(|error| error))
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
    let user_mode = |groups: Option<Hierarchy>| Mode { tier: Tier::C, user_namespace: true, groups };
    if geteuid().is_root() && sys::has_capability(CAP_SYS_ADMIN) {
        if let Some(groups) = &groups {
            let tier = if matches!(groups, Hierarchy::Unified(_)) { Tier::A } else { Tier::B };
            modes.push(Mode { tier, user_namespace: false, groups: Some(groups.clone()) });
        }
        modes.push(Mode { tier: Tier::C, user_namespace: false, groups: None });
    }
    if let Some(delegated @ Hierarchy::Unified(_)) = groups {
        modes.push(user_mode(Some(delegated)));
    }
    modes.push(user_mode(None));
    (modes, remarks)
}

/// Native programs linked dynamically need the loader and the system's libraries; with an interpreter they are
/// shown already.
fn with_loader(mut root: Root) -> Root {
    for path in
        ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64"]
    {
        let path = std::path::PathBuf::from(path);
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
    let up = |name: &str, text: &str| (name.to_string(), "up".to_string(), text.to_string());
    let mut walls = Vec::new();
    walls.push(if host.mode.user_namespace {
        up("namespaces", "user, mount, pid, net, ipc, uts, cgroup")
    } else {
        up("namespaces", "mount, pid, net, ipc, uts, cgroup")
    });
    walls.push(up("root", "read-only, no procfs, no writable path"));
    walls.push(if host.mode.user_namespace {
        up("credentials", "no capabilities; the only user of a user namespace")
    } else {
        up("credentials", "no capabilities; a user number per slot")
    });
    walls.push(match &host.mode.groups {
        Some(Hierarchy::Unified(_)) => up("cgroup", "v2: memory, processes, CPU time"),
        Some(Hierarchy::Legacy { unified: Some(_), .. }) => up("cgroup", "v1: memory, processes, CPU time; v2 ends slots"),
        Some(Hierarchy::Legacy { unified: None, .. }) => up("cgroup", "v1: memory, processes, CPU time"),
        None => (
            "cgroup".into(),
            "weaker".into(),
            format!(
                "no control group ({remarks}): memory and CPU time are watched per process and guests may start \
                 threads but no processes; a writable cgroup below the own one would provide it \
                 (systemd-run --scope -p Delegate=yes, or root)"
            ),
        ),
    });
    walls.push(up("rlimits", ""));
    walls.push(match sys::landlock_version() {
        0 => (
            "landlock".into(),
            "missing".into(),
            "a kernel from 5.13 with landlock among its security modules (lsm=landlock,...) would provide it"
                .into(),
        ),
        version => up("landlock", &format!("ABI {version}")),
    });
    walls.push(up("seccomp", "three lists: allow, refuse, kill"));
    HostReport { tier: Some(host.mode.tier.name().into()), walls }
}
