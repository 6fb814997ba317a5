//! Slots to lease, and the spawner that makes them. A slot is made when it is first needed, used by one run at a
//! time, given back clean or thrown away. A spawner that died is replaced: by the guardian where there is one,
//! else by starting another.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{self, Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::cache::Cache;
use super::guest::{failed, next_event};
use super::headers::Headers;
use super::knobs::Knobs;
use super::{ATTEMPTS, SandboxConfig, step_error};
use crate::language::{self, Engine, Work};
use crate::protocol::{self, Answer, Class, Command, Event, Flavour, Found, HostReport, Order};
use crate::{Lack, Language, SandboxError, Tier, guardian, spawner, sys, toolchain};

/// How long interpreters are started cold where warm ones could not be started, until that is tried again.
const COLD: Duration = Duration::from_secs(60);
/// How many idle slots are kept for each program that may run at once; beyond that the one longest unused ends.
const IDLE: usize = 6;

/// How long a spawner may take to make a slot, or to remove all at its end, before it counts as hung.
const SPAWNER_PATIENCE: Duration = Duration::from_secs(60);

/// One slot as the client holds it. Dropped, it is the end of the slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) socket: OwnedFd,
    /// The slot-init's process, to end it when the slot is thrown away: a hung one does not see its socket close.
    process: OwnedFd,
    pub(super) knobs: Knobs,
    /// The warm interpreters it has.
    warm: Vec<Flavour>,
}

#[derive(Debug)]
pub(super) struct Pool {
    /// Slots of each room at most.
    most: usize,
    /// Whom to tell of idle programs.
    idleness: Option<fn(bool)>,
    unwanted: Option<fn() -> bool>,
    host: HostReport,
    shelf: Mutex<Shelf>,
    /// A slot came free, of whichever room: all who wait look.
    freed: Condvar,
    link: Mutex<Link>,
    /// The tools asked for so far.
    tools: Mutex<HashMap<Room, Result<Found, String>>>,
    /// Those that answered inside the box.
    sound: Mutex<HashSet<Room>>,
    /// Programs that were compiled before.
    pub(super) programs: Cache,
    pub(super) headers: Option<Headers>,
    /// Why interpreters are started anew for each run, and until when they are.
    cold: Mutex<Option<(String, Option<Instant>)>>,
    /// Warm interpreters that failed to start, one after the other.
    failures: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shelf {
    /// In the order in which they were given back.
    idle: Vec<(Room, Slot)>,
    made: HashMap<Room, usize>,
}

/// What is kept of compilers' work when nobody says how much, in bytes.
const KEPT_PROGRAMS: u64 = 64 << 20;

/// Slots of one kind: what they are kept for, and whose tool they show. Who leases several at once takes them in this
/// order, so no two callers wait for each other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Room {
    pub(super) role: Role,
    pub(super) language: Language,
}

/// What a slot is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Role {
    /// Programs under test.
    Program,
    /// Programs under test with a directory of their own.
    Workplace,
    /// Programs that are shown what those must not see: such a slot is never given to another role.
    Judge,
    Compiler,
}

/// The connection to the spawner and how to get another one.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    origin: Origin,
    /// What slots are made of, once that is known: a spawner that replaces one has to make the same, and shall not take
    /// what went wrong at its start for a wall that the host lacks.
    mode: Option<String>,
}

#[derive(Debug)]
enum Origin {
    /// A child of ours.
    Own { config: Box<SandboxConfig>, child: Child },
    /// The guardian's: a new socket comes over this one.
    Guardian(OwnedFd),
}

/// A leased slot. Dropped without [`Lease::give_back`], the slot is thrown away.
#[derive(Debug)]
pub(super) struct Lease {
    pool: Arc<Pool>,
    room: Room,
    slot: Option<Slot>,
    /// Not to be kept.
    once: bool,
}

/// What a sandbox has of kernel walls.
#[derive(Debug, Clone)]
pub(super) enum Walls {
    /// Slots.
    Up(Arc<Pool>),
    /// None, and why: the tier is W. A guardian's spawner is kept, or it would start one after another.
    Missing { why: Arc<str>, _kept: Arc<Option<Link>> },
}

impl Walls {
    /// With a spawner of our own.
    pub(super) fn start(config: &SandboxConfig) -> Result<Walls, SandboxError> {
        if config.without.contains(&Lack::Walls) {
            return Walls::missing(config, "they are not to be used", None);
        }
        let (socket, child) = launch(config).map_err(step_error("spawner"))?;
        let origin = Origin::Own { config: Box::new(config.clone()), child };
        Walls::new(config, Link { socket, origin, mode: None })
    }

    /// With the guardian's spawner, where there is a guardian.
    pub(super) fn connect(config: &SandboxConfig) -> Result<Option<Walls>, SandboxError> {
        let Some(line) = guardian::take_line().map_err(step_error("spawner"))? else { return Ok(None) };
        let socket = guardian::next_spawner(&line).map_err(step_error("spawner"))?;
        let link = Link { socket, origin: Origin::Guardian(line), mode: None };
        Walls::new(config, link).map(Some)
    }

    /// The best that the host gives, if it is good enough.
    fn new(config: &SandboxConfig, mut link: Link) -> Result<Walls, SandboxError> {
        match probe(config, &mut link) {
            Ok(host) => Ok(Walls::Up(Arc::new(Pool::new(config, link, host)?))),
            Err(SandboxError::Unavailable(why)) => Walls::missing(config, &why, Some(link)),
            Err(error) => Err(error),
        }
    }

    /// None: accepted only where tier W was named.
    fn missing(config: &SandboxConfig, why: &str, link: Option<Link>) -> Result<Walls, SandboxError> {
        match config.tier {
            Some(Tier::W) => Ok(Walls::Missing { why: why.into(), _kept: Arc::new(link) }),
            _ => Err(SandboxError::Unavailable(why.into())),
        }
    }

    /// The slots, for what needs kernel walls.
    pub(super) fn pool(&self) -> Result<&Arc<Pool>, SandboxError> {
        match self {
            Walls::Up(pool) => Ok(pool),
            Walls::Missing { why, .. } => Err(SandboxError::Unavailable(format!(
                "this sandbox is of tier W and runs WebAssembly alone; other programs need kernel walls: {why}"
            ))),
        }
    }
}

/// What the host gives, if it is as good as the configuration asks.
fn probe(config: &SandboxConfig, link: &mut Link) -> Result<HostReport, SandboxError> {
    let host = match link.ask(&Order::Probe(None)).map_err(step_error("spawner"))? {
        (Answer::Host(host), _) => host,
        (Answer::Failed(failure), _) => return Err(SandboxError::Unavailable(failure.text)),
        _ => return Err(unexpected()),
    };
    let found = host.tier.as_deref().and_then(Tier::from_name);
    if let Some(least) = config.tier
        && found.is_none_or(|found| found > least)
    {
        let found = found.map_or("none", Tier::name);
        let weak: Vec<String> = host
            .walls
            .iter()
            .filter(|(_, state, _)| state != "up")
            .map(|(name, state, text)| format!("{name} is {state}: {text}"))
            .collect();
        return Err(SandboxError::Unavailable(format!(
            "this host gives tier {found}, tier {least} was asked for{}",
            if weak.is_empty() { String::new() } else { format!(" ({})", weak.join("; ")) }
        )));
    }
    link.mode = Some(host.mode.clone());
    Ok(host)
}

impl Pool {
    fn new(config: &SandboxConfig, link: Link, host: HostReport) -> Result<Pool, SandboxError> {
        let headers = cache_directory(config).map(|directory| Headers::open(&directory)).transpose()?;
        let cold = config.cold_start.then(|| ("asked for".into(), None));
        Ok(Pool {
            most: slots(config),
            idleness: config.idleness,
            unwanted: config.unwanted,
            host,
            shelf: Mutex::default(),
            freed: Condvar::new(),
            link: Mutex::new(link),
            tools: Mutex::default(),
            sound: Mutex::default(),
            programs: Cache::new(config.kept_programs.unwrap_or(KEPT_PROGRAMS)),
            headers,
            cold: Mutex::new(cold),
            failures: AtomicUsize::new(0),
        })
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn host(&self) -> &HostReport {
        &self.host
    }

    /// Why interpreters are started cold, if they are.
    pub(super) fn cold(&self) -> Option<String> {
        let mut cold = locked(&self.cold);
        cold.take_if(|(_, until)| until.is_some_and(|until| Instant::now() > until));
        cold.as_ref().map(|(why, _)| why.clone())
    }

    /// The tool of a room; an error where the host has none, which says what to install.
    pub(super) fn tool(&self, room: Room) -> Result<Found, SandboxError> {
        let mut tools = locked(&self.tools);
        let found = match tools.get(&room) {
            Some(found) => found.clone(),
            None => match locked(&self.link).ask(&Order::Find(room.name())).map_err(step_error("spawner"))? {
                (Answer::Tool(found), _) => tools.entry(room).or_insert(found).clone(),
                (Answer::Failed(failure), _) => return Err(failed(failure)),
                _ => return Err(unexpected()),
            },
        };
        found.map_err(SandboxError::Unavailable)
    }

    /// Sees to it that a room's tool works at all: asked once, by `ask`.
    pub(super) fn sound(
        &self,
        room: Room,
        ask: impl FnOnce() -> Result<(), SandboxError>,
    ) -> Result<(), SandboxError> {
        if !locked(&self.sound).contains(&room) {
            ask()?;
            locked(&self.sound).insert(room);
        }
        Ok(())
    }

    /// Makes a slot for one run, beside those that are kept.
    pub(super) fn lease_new(self: &Arc<Pool>, room: Room) -> Result<Lease, SandboxError> {
        *locked(&self.shelf).made.entry(room).or_default() += 1;
        let slot = self.make(room).inspect_err(|_| self.forget(room))?;
        Ok(Lease { pool: Arc::clone(self), room, slot: Some(slot), once: true })
    }

    /// Takes an idle slot, makes one, or waits for one.
    pub(super) fn lease(self: &Arc<Pool>, room: Room) -> Result<Lease, SandboxError> {
        let lease = |slot| Lease { pool: Arc::clone(self), room, slot: Some(slot), once: false };
        let mut shelf = locked(&self.shelf);
        loop {
            if let Some(at) = shelf.idle.iter().rposition(|(known, _)| *known == room) {
                return Ok(lease(shelf.idle.remove(at).1));
            }
            let made = shelf.made.entry(room).or_default();
            if *made < self.most {
                *made += 1;
                drop(shelf);
                return self.make(room).map(lease).inspect_err(|_| self.forget(room));
            }
            shelf = self.freed.wait(shelf).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn make(&self, room: Room) -> Result<Slot, SandboxError> {
        match locked(&self.link).ask(&Order::Slot(room.name())).map_err(step_error("spawner"))? {
            (Answer::Slot { handles }, fds) => {
                let mut fds = fds.into_iter();
                let (Some(socket), Some(process)) = (fds.next(), fds.next()) else {
                    return Err(unexpected());
                };
                Ok(Slot { socket, process, knobs: Knobs::new(handles, fds), warm: Vec::new() })
            }
            (Answer::Failed(failure), _) => Err(failed(failure)),
            _ => Err(unexpected()),
        }
    }

    /// Throws away every slot that waits for a run: the next runs get fresh ones.
    pub(super) fn clear(&self) {
        let mut shelf = locked(&self.shelf);
        for (room, _) in std::mem::take(&mut shelf.idle) {
            *shelf.made.entry(room).or_insert(1) -= 1;
        }
        drop(shelf);
        self.freed.notify_all();
    }

    /// Puts a slot back; of too many idle ones the one longest unused ends.
    fn keep(&self, room: Room, slot: Slot) {
        let mut shelf = locked(&self.shelf);
        shelf.idle.push((room, slot));
        if shelf.idle.len() > IDLE * self.most {
            let (room, _) = shelf.idle.remove(0);
            *shelf.made.entry(room).or_insert(1) -= 1;
        }
        self.freed.notify_all();
    }

    /// One slot of the room less.
    fn forget(&self, room: Room) {
        *locked(&self.shelf).made.entry(room).or_insert(1) -= 1;
        self.freed.notify_all();
    }
}

impl Room {
    /// Where programs of a language are compiled, or run in this role.
    pub(super) fn of(language: Language, role: Role) -> Room {
        let work = if role == Role::Compiler { Work::Compile } else { Work::Run };
        Room { role, language: language.room(work) }
    }

    /// As the spawner takes it.
    fn name(self) -> protocol::Room {
        let class = match self.role {
            Role::Compiler => Class::Compile,
            Role::Workplace => Class::Cold,
            _ if self.language.entry().engine == Engine::Runtime => Class::Cold,
            Role::Program | Role::Judge => Class::Run,
        };
        protocol::Room { class, language: self.language.name().into() }
    }
}

impl Link {
    /// One order, one answer; a spawner that is gone is replaced once.
    fn ask(&mut self, order: &Order) -> io::Result<(Answer, Vec<OwnedFd>)> {
        if let Some(answer) = self.try_ask(order)? {
            return Ok(answer);
        }
        self.reconnect()?;
        let short_lived = || io::Error::other("the spawner ends as soon as it is started");
        if let Some(mode) = &self.mode
            && let (Answer::Failed(failure), _) =
                self.try_ask(&Order::Probe(Some(mode.clone())))?.ok_or_else(short_lived)?
        {
            return Err(io::Error::other(failure.text));
        }
        self.try_ask(order)?.ok_or_else(short_lived)
    }

    fn try_ask(&self, order: &Order) -> io::Result<Option<(Answer, Vec<OwnedFd>)>> {
        match protocol::send(&self.socket, order, &[]) {
            Err(error) if protocol::is_gone(&error) => return Ok(None),
            other => other?,
        }
        let deadline = Instant::now() + SPAWNER_PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], left) {
                // A hung one is as good as none.
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        protocol::receive(&self.socket)
    }

    fn reconnect(&mut self) -> io::Result<()> {
        match &mut self.origin {
            Origin::Own { config, child } => {
                let _ = child.kill();
                let _ = child.wait();
                (self.socket, *child) = launch(config)?;
            }
            Origin::Guardian(line) => self.socket = guardian::next_spawner(line)?,
        }
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Origin::Own { child, .. } = &mut self.origin {
            // Its socket closed is the order to end; it takes the slots with it.
            if let Ok((_, other)) = sys::seqpacket() {
                self.socket = other;
            }
            let deadline = Instant::now() + SPAWNER_PATIENCE;
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // One that is gone already is no error.
        let _ = sys::signal(self.process.as_fd(), libc::SIGKILL);
    }
}

impl Lease {
    /// The slot, while it is leased.
    pub(super) fn slot(&mut self) -> Result<&mut Slot, SandboxError> {
        self.slot.as_mut().ok_or_else(unexpected)
    }

    /// Sees to it that the slot has the warm interpreter asked for, and that its memory is not counted as a
    /// run's. `None` where interpreters of this host can only be started cold.
    pub(super) fn warm(&mut self, wanted: Option<Flavour>) -> Result<Option<Flavour>, SandboxError> {
        let Some(flavour) = wanted.filter(|_| self.pool.cold().is_none()) else { return Ok(None) };
        let slot = self.slot()?;
        if slot.warm.contains(&flavour) {
            return Ok(wanted);
        }
        slot.knobs.release().map_err(step_error("cgroup"))?;
        protocol::send(&slot.socket, &Command::Warm(flavour), &[]).map_err(step_error("supervision"))?;
        match next_event(slot.socket.as_fd())? {
            (Event::Warm(Ok(())), _) => {
                slot.warm.push(flavour);
                slot.knobs.settle(slot.warm.len() as u64);
                self.pool.failures.store(0, Relaxed);
                Ok(wanted)
            }
            // Once may be an accident, in which case another slot will do.
            (Event::Warm(Err(failure)), _) if self.pool.failures.fetch_add(1, Relaxed) + 1 < ATTEMPTS => {
                Err(failed(failure))
            }
            (Event::Warm(Err(failure)), _) => {
                *locked(&self.pool.cold) = Some((failure.text, Some(Instant::now() + COLD)));
                Ok(None)
            }
            _ => Err(unexpected()),
        }
    }

    /// Whom to tell when the program is idle.
    pub(super) fn idleness(&self) -> Option<fn(bool)> {
        self.pool.idleness
    }

    /// Whom to ask whether the program is still wanted.
    pub(super) fn unwanted(&self) -> Option<fn() -> bool> {
        self.pool.unwanted
    }

    /// The socket to poll.
    pub(super) fn socket(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.slot.as_ref().map(|slot| slot.socket.as_fd())
    }

    /// CPU time charged to the slot's group, where there is one.
    pub(super) fn group_cpu(&self) -> Option<u64> {
        self.slot.as_ref()?.knobs.cpu_nanos()
    }

    /// The most memory charged to the slot's group since the counter was reset, where there is one.
    pub(super) fn group_peak(&self) -> Option<u64> {
        self.slot.as_ref()?.knobs.memory_peak()
    }

    /// Puts the slot back, if it is as clean as it came.
    pub(super) fn give_back(mut self) {
        let once = self.once;
        if let Some(slot) = self.slot.take_if(|slot| !once && slot.knobs.clean()) {
            self.pool.keep(self.room, slot);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.slot.take().is_some() {
            self.pool.forget(self.room);
        }
    }
}

/// Programs running at once.
pub(super) fn slots(config: &SandboxConfig) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    if config.slots == 0 { cores() } else { config.slots }
}

/// Starts a spawner on one end of a socket pair.
fn launch(config: &SandboxConfig) -> io::Result<(OwnedFd, Child)> {
    let (ours, theirs) = sys::seqpacket()?;
    let helper = config.helper.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
    let mut command = process::Command::new(helper);
    // A group of its own: Ctrl-C is for the program that uses the sandbox; the spawner ends when that does.
    command.arg0(spawner::NAME).stdin(theirs).stdout(Stdio::null()).process_group(0);
    let variable =
        |language: Language, work| language.entry().tool(work).and_then(|tool| tool.variable.as_ref());
    for (variable, path) in [
        (variable(Language::Python3, Work::Run).map(String::as_str), &config.python),
        (variable(Language::Cpp17, Work::Compile).map(String::as_str), &config.compiler),
        (Some(language::FILE_VARIABLE), &config.languages),
        (Some(toolchain::CACHE_VARIABLE), &config.cache),
    ] {
        if let (Some(variable), Some(path)) = (variable, path) {
            command.env(variable, path);
        }
    }
    if !config.without.is_empty() {
        let names: Vec<&str> = config.without.iter().map(|lack| lack.name()).collect();
        command.env(spawner::WITHOUT_VARIABLE, names.join(","));
    }
    Ok((ours, command.spawn()?))
}

pub(super) fn cache_directory(config: &SandboxConfig) -> Option<PathBuf> {
    config.cache.clone().or_else(|| std::env::var_os(toolchain::CACHE_VARIABLE).map(PathBuf::from))
}

fn unexpected() -> SandboxError {
    SandboxError::Step { step: "spawner", source: io::Error::other("unexpected answer") }
}

/// A panic elsewhere leaves the data whole: every change under these locks is one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
