//! One guest from start to end: feeds and drains its pipes, watches its limits, ends it, and says how it ended.
//!
//! Everything happens in one loop of `poll`: input is written and output read as they come, so neither an output
//! that nobody reads nor an input that the guest never reads can block; between events the loop sleeps until the
//! earliest moment at which a limit could have been passed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use super::facts::{Facts, decide};
use super::idleness::{self, Idleness};
use super::knobs::Counters;
use super::overdue::{self, Overdue, State};
use super::pool::Lease;
use super::process::Process;
use super::step_error;
use super::stream::{Stream, nonblocking};
use crate::protocol::{self, Command, Event, Run, Stage};
use crate::walls::step_name;
use crate::workplace::Fetched;
use crate::{Limits, Outcome, SandboxError, Termination, Usage, image};

/// How long a slot-init may take for anything that is its own work before it counts as broken.
const SLOT_PATIENCE: Duration = Duration::from_secs(30);
/// Without a control group memory is watched by looking, this often at least.
const LOOK: Duration = Duration::from_millis(2);
/// The shortest sleep between two looks at the clocks.
const TICK: Duration = Duration::from_millis(1);
/// Most bytes of all files that are taken out of a workplace: all that fits there.
const MAX_FETCHED: u64 = 16 << 20;
/// Longest compiled code that is kept, in bytes; longer code is compiled again for every run.
const MAX_CODE: usize = 16 << 20;
/// A finished run.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// What the compiler made.
    pub(super) binary: Option<OwnedFd>,
    /// The files that were wanted of it, in that order.
    pub(super) fetched: Fetched,
    /// The source as the interpreter compiled it, if that was asked for and came to its end.
    pub(super) code: Option<Vec<u8>>,
    /// It passed its CPU limit by less than half while it had to wait for a core.
    pub(super) slowed: bool,
}

impl Done {
    /// A run of a program that broke all its slots.
    pub(super) fn broke_slots() -> Done {
        let outcome = Outcome::of(Termination::BrokeSlots);
        Done { outcome, binary: None, fetched: Vec::new(), code: None, slowed: false }
    }
}

/// What a guest is made of, in sealed memory files.
pub(super) struct Material<'a> {
    pub(super) image: &'a OwnedFd,
    /// The source as it was compiled before.
    pub(super) compiled: Option<&'a OwnedFd>,
    /// What it finds beside its source.
    pub(super) files: &'a [super::job::SealedFile],
}

/// A running guest.
#[derive(Debug)]
pub(super) struct Guest {
    lease: Lease,
    limits: Limits,
    process: Process,
    stdin: Option<File>,
    stdout: Stream,
    stderr: Stream,
    pub(super) values: Option<Stream>,
    /// The source as the interpreter compiles it, to be run again without compiling.
    code: Option<Stream>,
    before: Counters,
    cpu_before: u64,
    started: Instant,
    /// CPU time when the present budget of it began: none, or what was used before the present exchange.
    cpu_mark: Duration,
    /// Where the present budget of idle time began: the start, the present exchange's, or later.
    mark: Mark,
    /// The longest time it was seen to have waited for a core. Of a process that is gone nothing can be asked any more.
    delay_seen: Cell<Duration>,
    /// Whether it may pass its CPU limit by half where it has to wait for a core, and did, when last looked at.
    grace: Grace,
    /// Why we ended it, when we did.
    ended_by_us: Option<(Termination, Instant)>,
    /// When it was found dead before its end was reported.
    dead_since: Option<Instant>,
    end: Option<End>,
    peak_seen: u64,
    idleness: Option<Idleness>,
    unwanted: Option<fn() -> bool>,
    /// Without a group: nanoseconds that each process below the guest was seen to run or to wait for a core, also
    /// of those that are gone. A compiler's driver sleeps while its stages work, one after the other.
    below: BTreeMap<i32, u64>,
}

/// What a run that is over its CPU limit may hope for. Caches shared with others make it slower than it is, so
/// where it has to wait for a core, and only there, it is let go on to half as much again: if it ends by itself
/// before, it was near enough to be repeated alone; one that is still running is over the limit in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grace {
    /// Nothing: this run is the last.
    None,
    /// The machine has a core for it whenever it wants one.
    Idle,
    /// It waited for a core for a tenth of its time, or longer.
    Busy,
}

/// A moment, as the clocks of one run show it.
#[derive(Debug, Clone, Copy)]
struct Mark {
    wall: Instant,
    cpu: Duration,
    delay: Duration,
    overdue: Overdue,
}

/// What the slot-init reported.
#[derive(Debug)]
struct End {
    status: i32,
    cpu_nanos: u64,
    peak_resident: u64,
    wall: Duration,
    counters: Counters,
    group_cpu: Option<u64>,
    stage: Stage,
    binary: Option<OwnedFd>,
    fetched: Fetched,
}

impl Guest {
    /// Starts a program on a leased slot and waits until its process is there. `run` says whether there is
    /// compiled code to pass, and whether to take some back.
    pub(super) fn start(
        mut lease: Lease,
        mut run: Run,
        material: &Material<'_>,
        limits: &Limits,
    ) -> Result<Guest, SandboxError> {
        let supervision = step_error("supervision");
        run.warm = lease.warm(run.warm)?;
        let slot = lease.slot()?;
        let files = material.files.iter().map(|file| file.length).sum();
        let before = slot.knobs.arm(limits, files).map_err(step_error("cgroup"))?;
        let open =
            |wanted: bool| wanted.then(|| pipe2(OFlag::O_CLOEXEC).map_err(step_error("pipes"))).transpose();
        let (values, code) = (open(run.values)?, open(run.export)?);
        let mut fds = vec![material.image.as_fd()];
        fds.extend(values.iter().map(|(_, write)| write.as_fd()));
        fds.extend(material.compiled.filter(|_| run.compiled).map(AsFd::as_fd));
        fds.extend(code.iter().map(|(_, write)| write.as_fd()));
        fds.extend(material.files.iter().map(|file| file.content.as_fd()));
        protocol::send(&slot.socket, &Command::Run(run), &fds).map_err(&supervision)?;
        // The program may be quicker than the word that it has started.
        let sent = Instant::now();
        let [values, code] = [values, code].map(|pipe| pipe.map(|(read, _)| read));
        let (event, fds) = next_event(slot.socket.as_fd()).map_err(broke(sent))?;
        match event {
            Event::Started => {}
            Event::Failed(failure) => return Err(failed(failure)),
            event => return Err(supervision(io::Error::other(format!("{event:?} out of turn")))),
        }
        let Ok([stdin, stdout, stderr, process]) = <[OwnedFd; 4]>::try_from(fds) else {
            return Err(supervision(io::Error::other("descriptors are missing")));
        };
        let cpu_before = slot.knobs.cpu_nanos().unwrap_or(0);
        let cap = usize::try_from(limits.output).unwrap_or(usize::MAX).saturating_add(1);
        let started = Instant::now();
        nonblocking(&stdin).map_err(&supervision)?;
        Ok(Guest {
            limits: limits.clone(),
            process: Process::new(process),
            stdin: Some(stdin.into()),
            stdout: Stream::new(stdout, cap).map_err(&supervision)?,
            stderr: Stream::new(stderr, cap).map_err(&supervision)?,
            values: values
                .map(|pipe| Stream::new(pipe, cap.saturating_add(4)))
                .transpose()
                .map_err(&supervision)?,
            code: code.map(|pipe| Stream::new(pipe, MAX_CODE)).transpose().map_err(&supervision)?,
            before,
            cpu_before,
            started,
            cpu_mark: Duration::ZERO,
            mark: Mark {
                wall: started,
                cpu: Duration::ZERO,
                delay: Duration::ZERO,
                overdue: Overdue::default(),
            },
            delay_seen: Cell::default(),
            grace: Grace::None,
            ended_by_us: None,
            dead_since: None,
            end: None,
            peak_seen: 0,
            idleness: None,
            unwanted: None,
            below: BTreeMap::new(),
            lease,
        })
    }

    /// Says from now on when it is idle, where the sandbox's caller wants to know.
    pub(super) fn telling(mut self) -> Guest {
        self.idleness = self.lease.idleness().map(Idleness::new);
        self
    }

    /// Asks from now on whether it is wanted, where the sandbox's caller can say.
    pub(super) fn asking(mut self) -> Guest {
        self.unwanted = self.lease.unwanted();
        self
    }

    /// Feeds all of `stdin`, closes it, and waits for the end. With `grace`, a run on a busy machine may pass its CPU
    /// limit; see [`Done::slowed`].
    pub(super) fn run_to_end(mut self, stdin: &[u8], grace: bool) -> Result<Done, SandboxError> {
        if grace {
            self.grace = Grace::Idle;
        }
        self.drive(stdin, |_| false)?;
        self.finish()
    }

    /// Starts a new budget of CPU and idle time.
    pub(super) fn renew(&mut self) {
        self.renew_idle();
        self.cpu_mark = self.mark.cpu;
    }

    /// Starts a new budget of idle time.
    pub(super) fn renew_idle(&mut self) {
        self.mark =
            Mark { wall: Instant::now(), cpu: self.cpu(), delay: self.delay(), overdue: Overdue::default() };
    }

    /// CPU time since the idle time's budget began; if asked to be thorough, the wait for a core too.
    pub(super) fn busy(&self, thorough: bool) -> Duration {
        let delay = if thorough { self.delay().saturating_sub(self.mark.delay) } else { Duration::ZERO };
        self.cpu().saturating_sub(self.mark.cpu) + delay + self.mark.overdue.held_up()
    }

    /// CPU and wall time since the present budget began, and the peak so far.
    pub(super) fn spent(&self) -> Usage {
        Usage {
            cpu_time: self.cpu().saturating_sub(self.cpu_mark),
            wall_time: self.mark.wall.elapsed(),
            peak_memory: self.peak(),
            fuel: 0,
        }
    }

    /// Why we ended it, when we did.
    pub(super) fn ended_by_us(&self) -> Option<Termination> {
        self.ended_by_us.map(|(reason, _)| reason)
    }

    /// Longest value frame.
    pub(super) fn frame_cap(&self) -> u64 {
        self.limits.output
    }

    /// What came through the value pipe since the last call.
    pub(super) fn take_values(&mut self) -> Vec<u8> {
        self.values.as_mut().map(|values| std::mem::take(&mut values.bytes)).unwrap_or_default()
    }

    /// Reads no more values; a guest that writes one now gets an error.
    pub(super) fn drop_values(&mut self) {
        self.values = None;
    }

    /// Closes the guest's input: it reads the end.
    pub(super) fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Ends the guest for a reason; the first reason stands.
    pub(super) fn kill(&mut self, reason: Termination) -> Result<(), SandboxError> {
        if self.ended_by_us.is_none() && self.end.is_none() {
            // What it does in its time of grace, it does beyond its limit.
            let over = self.spent_cpu() > self.limits.cpu_time;
            let reason = if over { Termination::CpuTimeLimit } else { reason };
            let of_time = matches!(reason, Termination::CpuTimeLimit | Termination::WallTimeLimit);
            let slot = self.lease.slot()?;
            // It was its memory that took the time.
            let starved = of_time && slot.knobs.starved(&self.limits);
            let reason = if starved { Termination::MemoryLimit } else { reason };
            self.ended_by_us = Some((reason, Instant::now()));
            let told = protocol::send(&slot.socket, &Command::Kill, &[]);
            told.map_err(broke(self.started))?;
        }
        Ok(())
    }

    /// The loop. Runs until the guest is gone and its pipes are empty, or `enough` says so. In a run (without a
    /// value pipe) the input is closed once it is written.
    pub(super) fn drive(
        &mut self,
        mut input: &[u8],
        enough: impl Fn(&Guest) -> bool,
    ) -> Result<(), SandboxError> {
        let supervision = step_error("supervision");
        let mut look = Instant::now();
        loop {
            if input.is_empty() && self.values.is_none() {
                self.stdin = None;
            }
            if enough(self) || self.over() {
                return Ok(());
            }
            if self.end.is_none() && Instant::now() >= look {
                look = self.watch(&|_| Duration::ZERO)?;
            }
            let ready = self.wait(!input.is_empty(), look).map_err(&supervision)?;
            if ready.event {
                self.take_event()?;
            }
            if ready.stdin {
                input = self.feed(input);
            }
            if ready.stdout {
                self.stdout.drain().map_err(&supervision)?;
            }
            if ready.rest {
                self.drain_rest()?;
            }
            self.check_output()?;
        }
    }

    /// Reads what is there on all pipes but stdout.
    pub(super) fn drain_rest(&mut self) -> Result<(), SandboxError> {
        let more = self.values.iter_mut().chain(&mut self.code);
        [&mut self.stderr]
            .into_iter()
            .chain(more)
            .try_for_each(Stream::drain)
            .map_err(step_error("supervision"))
    }

    /// Reads what is there on stdout without keeping it. Returns how many bytes came within the limit.
    pub(super) fn pass(&mut self, buffer: &mut [u8]) -> Result<usize, SandboxError> {
        self.stdout.pass(buffer).map_err(step_error("supervision"))
    }

    /// Ends the guest if it has written too much.
    pub(super) fn check_output(&mut self) -> Result<(), SandboxError> {
        if self.stdout.overflown() || self.stderr.overflown() {
            self.kill(Termination::OutputLimit)
        } else {
            Ok(())
        }
    }

    /// Sleeps until something can be read or written, or it is time to look at the clocks.
    fn wait(&self, feeding: bool, look: Instant) -> io::Result<Ready> {
        let mut fds = Vec::with_capacity(6);
        let places = self.enlist(feeding, &mut fds);
        sleep(&mut fds, self.end.is_none().then_some(look))?;
        Ok(places.ready(&fds))
    }

    /// Adds what this guest waits for to the list of a `poll`.
    pub(super) fn enlist<'a>(&'a self, feeding: bool, fds: &mut Vec<PollFd<'a>>) -> Places {
        let mut add = |fd: Option<BorrowedFd<'a>>, flags| {
            fd.map(|fd| {
                fds.push(PollFd::new(fd, flags));
                fds.len() - 1
            })
        };
        let stdin = self.stdin.as_ref().filter(|_| feeding);
        let places = Places {
            event: add(self.lease.socket().filter(|_| self.end.is_none()), PollFlags::POLLIN),
            stdin: add(stdin.map(AsFd::as_fd), PollFlags::POLLOUT),
            stdout: add(self.stdout.fd(), PollFlags::POLLIN),
            rest: 0..0,
        };
        let first = fds.len();
        fds.extend(self.rest().filter_map(Stream::fd).map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        Places { rest: first..fds.len(), ..places }
    }

    /// Looks at the clocks; ends what is over a limit. Returns when to look again. `excuse` is time since the idle
    /// time's budget began in which the guest need not have been busy; the thorough answer takes longer.
    pub(super) fn watch(&mut self, excuse: &dyn Fn(bool) -> Duration) -> Result<Instant, SandboxError> {
        let now = Instant::now();
        if let Some((_, since)) = self.ended_by_us {
            if since.elapsed() > SLOT_PATIENCE {
                return Err(broke(self.started)(io::Error::other("the slot does not end its guest")));
            }
            return Ok(now + Duration::from_millis(100));
        }
        if self.unwanted.is_some_and(|unwanted| unwanted()) {
            self.kill(Termination::WallTimeLimit)?;
            return Ok(now);
        }
        let cpu = self.spent_cpu();
        let most = self.most_cpu(cpu);
        if cpu > most {
            self.kill(Termination::CpuTimeLimit)?;
            return Ok(now);
        }
        let wall = self.mark.wall.elapsed();
        let idle = |thorough| wall.saturating_sub(excuse(thorough)).saturating_sub(self.busy(thorough));
        let mut idle_time = idle(false);
        if idle_time > self.limits.wall_time {
            idle_time = idle(true);
        }
        if idle_time > self.limits.wall_time {
            return self.overdue(now);
        }
        let parallel = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        let busy = (most - cpu) / parallel.min(self.limits.processes).max(1);
        let mut pause = busy.min(self.limits.wall_time - idle_time);
        if !self.lease.slot()?.knobs.present() {
            let (resident, threads) = self.process.memory_and_threads();
            self.peak_seen = self.peak_seen.max(resident);
            self.process.note_below(&mut self.below);
            if self.peak_seen > self.limits.memory {
                self.kill(Termination::MemoryLimit)?;
            } else if threads > self.limits.processes.into() {
                self.kill(Termination::ProcessLimit)?;
            }
            pause = pause.min(LOOK);
        }
        if let Some(mut idleness) = self.idleness.take() {
            if idleness.due(now) {
                idleness.look(now, self.cpu() + self.delay(), || self.process.state() == State::WantsACore);
            }
            self.idleness = Some(idleness);
            pause = pause.min(idleness::LOOK);
        }
        if self.unwanted.is_some() {
            pause = pause.min(idleness::LOOK);
        }
        Ok(now + pause.max(TICK))
    }

    /// Ends a guest that is over its idle limit, unless it is gone or not to blame. Returns when to look again.
    fn overdue(&mut self, now: Instant) -> Result<Instant, SandboxError> {
        if self.is_dead() {
            // The clocks of a process that is gone stand at zero, so what it waited and ran would count as idle. The
            // report of its end is on its way.
            if self.dead_since.get_or_insert(now).elapsed() > SLOT_PATIENCE {
                return Err(broke(self.started)("the slot does not report its guest's end"));
            }
            return Ok(now + TICK);
        }
        // One wait for a core may be longer than the limit, and it counts only when it is over.
        if !self.mark.overdue.ends(self.process.state(), self.limits.wall_time) {
            return Ok(now + overdue::AGAIN);
        }
        self.kill(Termination::WallTimeLimit)?;
        Ok(now)
    }

    fn spent_cpu(&self) -> Duration {
        self.cpu().saturating_sub(self.cpu_mark)
    }

    /// The CPU time at which this run is ended.
    fn most_cpu(&mut self, cpu: Duration) -> Duration {
        let limit = self.limits.cpu_time;
        // To see how long it waited costs more than to see how long it ran; in time for the limit will do.
        if self.grace != Grace::None && cpu > limit / 2 {
            let busy = self.delay() * 10 > self.started.elapsed();
            self.grace = if busy { Grace::Busy } else { Grace::Idle };
        }
        if self.grace == Grace::Busy { limit * 3 / 2 } else { limit }
    }

    pub(super) fn take_event(&mut self) -> Result<(), SandboxError> {
        let event = next_event(self.lease.slot()?.socket.as_fd());
        let (event, fds) = event.map_err(broke(self.started))?;
        let slot = self.lease.slot()?;
        let (status, cpu_nanos, peak_resident, stage, fetched) = match event {
            Event::Ended { status, cpu_nanos, peak_resident, stage, fetched } => {
                (status, cpu_nanos, peak_resident, stage, fetched)
            }
            Event::Failed(failure) => return Err(failed(failure)),
            event => {
                return Err(step_error("supervision")(io::Error::other(format!("{event:?} out of turn"))));
            }
        };
        let mut fds = fds.into_iter();
        let fetched = fetch(&fetched, &mut fds).map_err(step_error("files"))?;
        self.end = Some(End {
            status,
            cpu_nanos,
            peak_resident,
            wall: self.started.elapsed(),
            counters: slot.knobs.counters(),
            group_cpu: slot.knobs.cpu_nanos(),
            stage,
            binary: fds.next(),
            fetched,
        });
        Ok(())
    }

    /// Writes what fits; returns what is left. A guest that closed its input gets no more.
    pub(super) fn feed<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let Some(pipe) = &mut self.stdin else { return &[] };
        match pipe.write(input) {
            Ok(written) => &input[written..],
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                input
            }
            Err(_) => {
                self.stdin = None;
                &[]
            }
        }
    }

    /// Whether it takes input: it may have closed it, or we may.
    pub(super) fn reads(&self) -> bool {
        self.stdin.is_some()
    }

    /// Whether no more output can come.
    pub(super) fn output_ended(&self) -> bool {
        self.stdout.ended()
    }

    /// Whether every process of it is gone.
    pub(super) fn ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether we have ended it and it is not gone yet.
    pub(super) fn is_dying(&self) -> bool {
        self.ended_by_us.is_some() && self.end.is_none()
    }

    /// Whether its first process has ended, with all its threads, though slot-init may not have said so yet.
    pub(super) fn is_dead(&self) -> bool {
        self.end.is_some() || self.process.has_ended()
    }

    /// Whether its first process is on its way out, or gone already: then what it held open is closed before we are told.
    pub(super) fn is_exiting(&self) -> bool {
        self.process.is_exiting()
    }

    /// Whether it is gone and all it wrote is read.
    pub(super) fn over(&self) -> bool {
        self.end.is_some() && self.stdout.ended() && self.rest().all(Stream::ended)
    }

    /// The pipes besides stdin and stdout.
    fn rest(&self) -> impl Iterator<Item = &Stream> {
        [&self.stderr].into_iter().chain(&self.values).chain(&self.code)
    }

    /// CPU time since the start.
    fn cpu(&self) -> Duration {
        if let Some(end) = &self.end {
            // The group's clock has the processes that nobody waited for as well; the other one has the moments before
            // the first look.
            let group = end.group_cpu.map_or(0, |group| group.saturating_sub(self.cpu_before));
            return Duration::from_nanos(group.max(end.cpu_nanos));
        }
        let group = self.lease.group_cpu().map(|nanos| nanos.saturating_sub(self.cpu_before));
        Duration::from_nanos(group.or_else(|| self.process.cpu_nanos()).unwrap_or(0))
    }

    /// Time the guest was ready to run and had no core: that of its most delayed living thread, or the time of
    /// all below it where no group counts their CPU time.
    fn delay(&self) -> Duration {
        let below = Duration::from_nanos(self.below.values().sum());
        let now = self.process.longest_delay().max(below);
        self.delay_seen.set(self.delay_seen.get().max(now));
        self.delay_seen.get()
    }

    /// The most memory charged to the run at once, as far as it is known by now.
    fn peak(&self) -> u64 {
        match &self.end {
            Some(end) if end.group_cpu.is_some() => {
                end.counters.memory_peak.saturating_sub(self.before.memory_usage)
            }
            Some(end) => self.peak_seen.max(end.peak_resident),
            None => {
                let group = self.lease.group_peak().unwrap_or(0).saturating_sub(self.before.memory_usage);
                self.peak_seen.max(group)
            }
        }
    }

    /// The outcome; the slot goes back to its pool.
    pub(super) fn finish(mut self) -> Result<Done, SandboxError> {
        let usage = Usage {
            cpu_time: self.cpu(),
            wall_time: self.end.as_ref().map_or(Duration::ZERO, |end| end.wall),
            peak_memory: self.peak(),
            fuel: 0,
        };
        let termination = self.termination();
        let Some(end) = &mut self.end else {
            return Err(step_error("supervision")(io::Error::other("finished before its end")));
        };
        let killed = end.counters.memory_kills > self.before.memory_kills;
        if killed && !self.lease.slot()?.knobs.was_full(&end.counters) {
            return Err(step_error("supervision")(io::Error::other(
                "the machine ran out of memory, and its kernel killed a program that was below its own limit",
            )));
        }
        let slowed = self.grace == Grace::Busy
            && termination == Termination::CpuTimeLimit
            && usage.cpu_time <= self.limits.cpu_time * 3 / 2;
        // Only a limit may end a guest whose walls do not stand yet.
        if end.stage == Stage::Entering
            && matches!(termination, Termination::Exited(_) | Termination::Signaled(_))
        {
            return Err(step_error("supervision")(io::Error::other(format!(
                "the guest ended ({termination:?}) before its walls stood"
            ))));
        }
        let (binary, fetched, stage) = (end.binary.take(), std::mem::take(&mut end.fetched), end.stage);
        let keep = usize::try_from(self.limits.output).unwrap_or(usize::MAX);
        let (mut stdout, mut stderr) = (self.stdout.bytes, self.stderr.bytes);
        stdout.truncate(keep);
        stderr.truncate(keep);
        self.lease.give_back();
        let code = self.code.filter(|code| stage == Stage::Running && !code.overflown());
        Ok(Done {
            outcome: Outcome {
                termination,
                stdout,
                stderr,
                usage,
                refused: stage == Stage::Compiling,
                rerun: false,
            },
            binary,
            fetched,
            slowed,
            code: code.map(|code| code.bytes).filter(|code| !code.is_empty()),
        })
    }

    /// Why it ended, from facts alone.
    pub(super) fn termination(&self) -> Termination {
        let Some(end) = &self.end else {
            return self.ended_by_us.map_or(Termination::Signaled(libc::SIGKILL), |(reason, _)| reason);
        };
        decide(&Facts {
            status: end.status,
            ended_by_us: self.ended_by_us.map(|(reason, _)| reason),
            memory_kills: end.counters.memory_kills.saturating_sub(self.before.memory_kills),
            process_refusals: end.counters.process_refusals.saturating_sub(self.before.process_refusals),
            over_memory: end.group_cpu.is_none() && end.peak_resident > self.limits.memory,
            over_cpu: self.cpu().saturating_sub(self.cpu_mark) > self.limits.cpu_time,
            over_output: self.stdout.overflown() || self.stderr.overflown(),
        })
    }
}

/// Reads what was left in a workplace, which ends with the last descriptor. One file under many names is still no more than
/// what fits there.
fn fetch(there: &[bool], fds: &mut impl Iterator<Item = OwnedFd>) -> io::Result<Fetched> {
    let mut room = MAX_FETCHED;
    let mut next = || {
        let file = File::from(fds.next().ok_or_else(|| io::Error::other("a file did not come"))?);
        let length = file.metadata()?.len();
        if length > room {
            return Ok(None);
        }
        room -= length;
        image::read(&file, length).map(Some)
    };
    there.iter().map(|there| if *there { next() } else { Ok(None) }).collect()
}

/// Where the entries of a guest are in the list of a `poll`.
#[derive(Debug)]
pub(super) struct Places {
    event: Option<usize>,
    stdin: Option<usize>,
    stdout: Option<usize>,
    rest: Range<usize>,
}

/// What can be read or written.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) event: bool,
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    /// Any of the other pipes.
    pub(super) rest: bool,
}

impl Places {
    /// What the `poll` said.
    pub(super) fn ready(&self, fds: &[PollFd<'_>]) -> Ready {
        let is_ready = |index: usize| fds[index].any() == Some(true);
        Ready {
            event: self.event.is_some_and(is_ready),
            stdin: self.stdin.is_some_and(is_ready),
            stdout: self.stdout.is_some_and(is_ready),
            rest: self.rest.clone().any(is_ready),
        }
    }
}

/// Waits for the first of these, or until it is time to look at the clocks; no time means that every guest has ended, and
/// only what they wrote is to be read.
pub(super) fn sleep(fds: &mut [PollFd<'_>], look: Option<Instant>) -> io::Result<()> {
    let timeout = look.map_or(SLOT_PATIENCE, |look| look.saturating_duration_since(Instant::now()));
    // Rounded up: a sleep of 0 ms would spin until the moment comes.
    let millis = timeout.as_micros().div_ceil(1000).min(60_000) as u16;
    match poll(fds, PollTimeout::from(millis)) {
        Ok(0) if look.is_none() => {
            Err(io::Error::other("a pipe stays open though every process of the guest is gone"))
        }
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A failure that travelled, as an error.
pub(super) fn failed(failure: protocol::Failure) -> SandboxError {
    SandboxError::Step { step: step_name(&failure.step), source: io::Error::other(failure.text) }
}

/// The error of a slot that is gone or silent, whose guest was started at this moment.
fn broke<E: std::fmt::Display>(started: Instant) -> impl Fn(E) -> SandboxError {
    move |error| SandboxError::SlotBroke {
        ran: started.elapsed(),
        source: io::Error::other(error.to_string()),
    }
}

/// The next message of a slot-init; none within its patience, or none at all, means that the slot is broken.
pub(super) fn next_event(socket: BorrowedFd<'_>) -> Result<(Event, Vec<OwnedFd>), SandboxError> {
    let supervision = step_error("supervision");
    let mut ready = [PollFd::new(socket, PollFlags::POLLIN)];
    let deadline = Instant::now() + SLOT_PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis() as u16;
        match poll(&mut ready, PollTimeout::from(left)) {
            Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(supervision(error.into())),
            Ok(0) => return Err(supervision(io::Error::other("the slot does not answer"))),
            Ok(_) => break,
        }
    }
    protocol::receive(socket)
        .map_err(&supervision)?
        .ok_or_else(|| supervision(io::Error::other("the slot is gone")))
}
