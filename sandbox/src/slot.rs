//! Slot-init: process 1 of a slot's namespaces. It builds the walls that last, then serves one client over one
//! socket, one run at a time:
//!
//! 1. open the guest's pipes, put the source where the guest can read but not write it;
//! 2. start an *anchor*, process 1 of a fresh pid namespace, which only waits to be killed;
//! 3. enter that namespace for children, fork the guest, come back; or have a warm interpreter do that
//!    (`zygote.rs`). Either way the guest is the slot-init's own child, so its status is first-hand, and it is no
//!    namespace's process 1, so signals work as everywhere;
//! 4. when the guest ended or the client says so, kill the anchor: everything in the namespace dies with it;
//! 5. report.
//!
//! A slot-init never reads a byte that a guest wrote, except what a compiler left, copied as bytes after
//! every process of the compiler is dead.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ::landlock::RulesetCreated;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::resource::Resource;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, execve, execveat, pipe2, sethostname, setsid, unlinkat};

use crate::protocol::{self, Action, Class, Command, Event, Failure, Flavour, Plan, Run, Stage};
use crate::sys::{self, AnchorStack, Child, Reaped};
use crate::walls::seccomp::Missing;
use crate::walls::{bare, credentials, landlock, mounts, rlimits, seccomp, step};
use crate::zygote::{self, Setting, Start, Zygote};
use crate::{archive, image, launcher, procfs};

/// `argv[0]` of a slot-init.
pub(crate) const NAME: &str = "assay: slot";
/// Longest compiled binary, in bytes.
const MAX_BINARY: u64 = 256 << 20;

/// How often a guest that waits to open /dev/stdin is let in, in milliseconds; see [`pulse_stdin`].
const PULSE: u8 = 20;

/// What a slot-init holds for its lifetime.
struct Slot {
    plan: Plan,
    client: OwnedFd,
    source_directory: OwnedFd,
    /// The host's /proc, as a descriptor only: a guest-to-be raises its own oom score through it.
    proc: OwnedFd,
    own_pidfd: OwnedFd,
    rules: Option<RulesetCreated>,
    filters: seccomp::Filters,
    warm: HashMap<Flavour, Zygote>,
    anchor_stack: Box<AnchorStack>,
}

/// What a guest is started with.
struct Entry<'a> {
    image: OwnedFd,
    pipes: &'a [OwnedFd; 3],
    report: OwnedFd,
    values: Option<OwnedFd>,
    compiled: Option<OwnedFd>,
    export: Option<OwnedFd>,
    /// The contents of the run's files, in the order of their names.
    files: Vec<OwnedFd>,
}

/// What is known of a guest when everything it started is gone.
struct Finished {
    reaped: Reaped,
    stage: Stage,
    binary: Option<OwnedFd>,
    fetched: Vec<Option<OwnedFd>>,
}

/// Plays slot-init on the socket at fd 0. Returns only to exit.
pub(crate) fn main() -> i32 {
    let Ok(socket) = settle_descriptors() else { return 3 };
    let plan: Plan = match protocol::receive(&socket) {
        Ok(Some((plan, _))) => plan,
        _ => return 3,
    };
    // Both messages are read before anything can fail: what is said on a socket whose other end goes away with a
    // message unread is lost, and with it why no slot can be made here.
    let Ok(client) = receive_client(&socket) else { return 3 };
    match build(plan, client) {
        Ok(mut slot) => {
            if protocol::send(&socket, &Ok::<(), Failure>(()), &[]).is_err() {
                return 3;
            }
            drop(socket);
            // The client going away is the end of the slot; so is a failure to talk to it.
            while let Ok(Some((command, fds))) = protocol::receive(&slot.client) {
                let done = match command {
                    Command::Warm(flavour) => slot.warm_up(flavour),
                    Command::Run(run) => slot.run(&run, fds),
                    Command::Kill => Ok(()),
                };
                if done.is_err() {
                    return 3;
                }
            }
            0
        }
        Err(failure) => {
            let _ = protocol::send(&socket, &Err::<(), Failure>(failure), &[]);
            3
        }
    }
}

/// Moves the socket away from fd 0 and fills all numbers that a guest's descriptors will take, so that nothing of
/// ours ever gets one of them.
fn settle_descriptors() -> io::Result<OwnedFd> {
    let socket = sys::duplicate_above(sys::inherit(0)?.as_fd(), 16)?;
    let null = sys::duplicate_above(File::options().read(true).write(true).open("/dev/null")?.as_fd(), 16)?;
    for number in [0, 1, zygote::VALUES, zygote::REPORT, zygote::CODE, zygote::EXPORT, zygote::RUN] {
        sys::duplicate_to(null.as_fd(), number)?;
    }
    Ok(socket)
}

/// The walls that last, in order.
fn build(plan: Plan, client: OwnedFd) -> Result<Slot, Failure> {
    step("slot", || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        nix::sys::prctl::set_dumpable(false)?;
        // One for all runs: the kernel may keep a share of the cores for each session, which takes it a tenth of a
        // millisecond to set up.
        setsid()?;
        nix::sys::stat::umask(Mode::empty());
        Ok(())
    })?;
    if plan.directory.is_none() {
        step("cgroup", || {
            plan.groups.iter().try_for_each(|group| fs::write(group.join("cgroup.procs"), "0"))?;
            Ok(unshare(CloneFlags::CLONE_NEWCGROUP)?)
        })?;
    }
    let proc = step("mounts", || open_directory("/proc".as_ref(), OFlag::O_PATH))?;
    let source_directory = step("mounts", || match &plan.directory {
        Some(directory) => open_directory(directory, OFlag::empty()),
        None => mounts::build(&plan.root, plan.class, plan.program.as_deref()),
    })?;
    if plan.directory.is_none() {
        step("host name", || Ok(sethostname("box")?))?;
    }
    step("capabilities", credentials::limit_slot)?;
    let rules = step("landlock", || {
        if let Some(directory) = &plan.directory {
            let shown: Vec<PathBuf> = plan.root.binds.iter().map(|(source, _)| source.clone()).collect();
            return landlock::bare_rules(&shown, directory).map(Some);
        }
        if sys::landlock_version() == 0 {
            return Ok(None);
        }
        if plan.class != Class::Run {
            // The rules name directories, and these have a new /tmp for each run.
            return Ok(None);
        }
        landlock::rules(plan.class).map(Some)
    })?;
    let filters = step("seccomp", || seccomp::Filters::compile(plan.class, missing(&plan)))?;
    if let (Some(rules), Some(_)) = (&rules, &plan.directory) {
        bare::prove(plan.user, rules, &filters)?;
    }
    let own_pidfd = step("slot", sys::own_pidfd)?;
    Ok(Slot {
        plan,
        client,
        source_directory,
        proc,
        own_pidfd,
        rules,
        filters,
        warm: HashMap::new(),
        anchor_stack: AnchorStack::new(),
    })
}

fn open_directory(path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    Ok(open(path, flags | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// What the guests of this slot lack around them.
fn missing(plan: &Plan) -> Missing {
    match plan.directory {
        Some(_) => Missing::Namespaces,
        None if plan.may_fork || plan.class == Class::Compile => Missing::Nothing,
        None => Missing::Group,
    }
}

/// The socket to the client is the one descriptor of the spawner's second message.
fn receive_client(socket: &OwnedFd) -> io::Result<OwnedFd> {
    protocol::receive::<()>(socket)?
        .and_then(|(_, fds)| fds.into_iter().next())
        .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no client socket came"))
}

impl Slot {
    /// One run, from the command to the report. An error means that the client is gone.
    fn run(&mut self, run: &Run, fds: Vec<OwnedFd>) -> io::Result<()> {
        let tmp = match self.plan.class {
            Class::Run => None,
            class => match step("mounts", || mounts::fresh_tmp(class, self.plan.user, run.at_work)) {
                Ok(tmp) => Some(tmp),
                Err(failure) => return self.say(&Event::Failed(failure), &[]),
            },
        };
        let report = self.supervise(run, fds, tmp.as_ref());
        if tmp.is_some() {
            mounts::drop_tmp()?;
        }
        if !run.at_work {
            self.clear_box(run)?;
        }
        match report {
            Ok(Finished { reaped, stage, binary, fetched }) => {
                let event = Event::Ended {
                    status: reaped.status,
                    cpu_nanos: reaped.cpu_nanos,
                    peak_resident: reaped.peak_resident,
                    stage,
                    fetched: fetched.iter().map(Option::is_some).collect(),
                };
                let fds: Vec<BorrowedFd<'_>> =
                    binary.iter().chain(fetched.iter().flatten()).map(AsFd::as_fd).collect();
                self.say(&event, &fds)
            }
            Err(failure) => self.say(&Event::Failed(failure), &[]),
        }
    }

    /// Starts an interpreter to fork from, if it is not there.
    fn warm_up(&mut self, flavour: Flavour) -> io::Result<()> {
        let result = match self.warm.contains_key(&flavour) || !self.forks(flavour) {
            true => Ok(()),
            false => self.start_zygote(flavour).map(|zygote| _ = self.warm.insert(flavour, zygote)),
        };
        self.say(&Event::Warm(result), &[])
    }

    /// Whether such a process is of use here. A launcher is not where each guest is held to its own process number by a
    /// filter made for it.
    fn forks(&self, flavour: Flavour) -> bool {
        flavour != Flavour::Native || self.plan.directory.is_none()
    }

    fn start_zygote(&self, flavour: Flavour) -> Result<Zygote, Failure> {
        if flavour == Flavour::Native {
            return Zygote::start_launcher(&launcher::Setting {
                user: self.plan.user,
                environment: step("launcher", environment)?,
                filters: step("seccomp", || seccomp::WarmFilters::compile(missing(&self.plan)))?,
                rules: self.rules.as_ref(),
                proc: self.proc.as_fd(),
            });
        }
        let rules = self.rules.as_ref().map(|rules| step("landlock", || landlock::descriptor(rules)));
        let rules = rules.transpose()?;
        let setting = Setting {
            program: step("interpreter", || self.program())?,
            environment: step("interpreter", environment)?,
            user: self.plan.user,
            filters: step("seccomp", || seccomp::WarmFilters::compile(missing(&self.plan)))?,
            directory: self.directory(),
            rules: rules.as_ref().map(AsFd::as_fd),
            proc: self.proc.as_fd(),
        };
        Zygote::start(&setting, flavour)
    }

    /// The path of the slot's tool.
    fn program(&self) -> io::Result<CString> {
        let path = self.plan.program.as_deref().ok_or(io::ErrorKind::NotFound)?;
        Ok(CString::new(path.as_os_str().as_bytes())?)
    }

    fn say(&self, event: &Event, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        protocol::send(&self.client, event, fds)
    }

    /// Starts the guest, tells the client, waits for the end or the order to end it.
    fn supervise(
        &mut self,
        run: &Run,
        fds: Vec<OwnedFd>,
        tmp: Option<&OwnedFd>,
    ) -> Result<Finished, Failure> {
        let pipes = step("pipes", || match self.plan.directory {
            Some(_) => bare::open_pipes().map(|(guest, client)| Pipes { guest, client }),
            None => open_pipes(),
        })?;
        let (report, reporter) = step("pipes", || Ok(pipe2(OFlag::O_CLOEXEC)?))?;
        let entry = step("source", || entry(run, fds, &pipes.guest, reporter))?;
        step("source", || match tmp {
            Some(tmp) if run.at_work => fill_workplace(tmp, run, &entry),
            _ => self.fill_box(run, &entry),
        })?;
        let anchor = match self.plan.directory {
            Some(_) => None,
            None => Some(step("process namespace", || sys::start_anchor(&mut self.anchor_stack))?),
        };
        let started = match run.warm {
            Some(flavour) if self.forks(flavour) => self.fork_warm(flavour, run, anchor.as_ref(), &entry),
            _ => self.fork_cold(run, anchor.as_ref(), &entry),
        };
        drop(entry);
        drop(pipes.guest);
        let guest = match started {
            Ok(guest) => guest,
            Err(failure) => {
                anchor.iter().for_each(end_anchor);
                return Err(failure);
            }
        };
        let [stdin, stdout, stderr] = &pipes.client;
        let descriptors = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd(), guest.pidfd.as_fd()];
        let told = self.say(&Event::Started, &descriptors);
        drop(pipes.client);
        if told.is_ok() {
            self.wait(&guest);
        }
        // Nothing inside its namespace can kill an anchor: if it ends, somebody outside did it, and the guest goes along.
        let killed = sys::was_killed(&guest) && anchor.as_ref().is_some_and(|anchor| self.is_ending(anchor));
        // Without an anchor the guest is alone: it could start no process.
        let _ = sys::signal(anchor.as_ref().unwrap_or(&guest).pidfd.as_fd(), libc::SIGKILL);
        let reaped = step("supervision", || sys::reap(guest.pid));
        anchor.iter().for_each(|anchor| _ = sys::reap(anchor.pid));
        if killed {
            return Err(Failure::new("supervision", &io::Error::other("the run's anchor was killed")));
        }
        let (reaped, stage) = (reaped?, read_report(report, run.action)?);
        let binary = match (tmp, &run.product) {
            (Some(tmp), Some(name)) if reaped.status == 0 => {
                step("binary", || take_product(tmp.as_fd(), name))?
            }
            _ => None,
        };
        let fetched = match tmp {
            Some(tmp) => {
                let fetch = |name: &String| step("files", || take_file(tmp.as_fd(), name));
                run.fetch.iter().map(fetch).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        Ok(Finished { reaped, stage, binary, fetched })
    }

    /// Until the guest ends, or the client says `Kill` or goes away.
    fn wait(&self, guest: &Child) {
        loop {
            let mut ready = [
                PollFd::new(guest.pidfd.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.client.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PULSE) {
                Err(nix::Error::EINTR) => continue,
                Err(_) => return,
                Ok(0) => {
                    if self.plan.directory.is_none() {
                        pulse_stdin();
                    }
                    continue;
                }
                Ok(_) => {}
            }
            if ready[0].any() == Some(true) {
                return;
            }
            // Anything from the client now is the order to end it.
            let _ = protocol::receive::<Command>(&self.client);
            return;
        }
    }

    /// Whether a process is on its way out. A process 1 that was killed waits for its whole namespace to be reaped before
    /// it can be reaped itself, the guest included, so it shows in its flags alone.
    fn is_ending(&self, child: &Child) -> bool {
        let read = |path: &str| -> io::Result<String> {
            let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            let mut text = String::new();
            let file = nix::fcntl::openat(&self.proc, path, flags, Mode::empty())?;
            File::from(file).read_to_string(&mut text)?;
            Ok(text)
        };
        let info = read(&format!("self/fdinfo/{}", child.pidfd.as_raw_fd())).unwrap_or_default();
        let number = procfs::number_of_pidfd(&info).unwrap_or(0);
        let stat = read(&format!("{number}/stat")).unwrap_or_default();
        // Where /proc hides it, nobody can tell.
        sys::has_ended(child.pidfd.as_fd()) || procfs::Stat::of(&stat).is_exiting() == Some(true)
    }

    /// Puts the source and the run's other files where the guest reads them.
    fn fill_box(&self, run: &Run, entry: &Entry<'_>) -> io::Result<()> {
        let source = run.source.as_deref().map(|name| (name, &entry.image));
        let files = run.files.iter().map(String::as_str).zip(&entry.files);
        for (name, content) in source.into_iter().chain(files) {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let target =
                nix::fcntl::openat(&self.source_directory, name, flags, Mode::from_bits_truncate(0o444))?;
            image::copy(content, &mut File::from(target))?;
        }
        Ok(())
    }

    /// Takes away what [`Self::fill_box`] put there: the next run in this slot is somebody else's.
    fn clear_box(&self, run: &Run) -> io::Result<()> {
        for name in run.source.as_deref().into_iter().chain(run.files.iter().map(String::as_str)) {
            match unlinkat(&self.source_directory, name, UnlinkatFlags::NoRemoveDir) {
                // Put there is what came before the first failure.
                Ok(()) | Err(nix::Error::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Has a warm interpreter fork the guest. One that died is replaced once.
    fn fork_warm(
        &mut self,
        flavour: Flavour,
        run: &Run,
        anchor: Option<&Child>,
        entry: &Entry<'_>,
    ) -> Result<Child, Failure> {
        let (message, said) = step("source", || self.request(flavour, run))?;
        let first = said.as_ref().unwrap_or(&entry.image);
        // Where there is no namespace to enter, nobody looks at the first descriptor.
        let mut descriptors = vec![anchor.map_or(first, |anchor| &anchor.pidfd).as_fd(), first.as_fd()];
        descriptors.extend(entry.pipes.iter().chain([&entry.report]).map(AsFd::as_fd));
        for more in [&entry.values, &entry.compiled, &entry.export] {
            descriptors.extend(more.as_ref().map(AsFd::as_fd));
        }
        let fork = |zygote: &Zygote| zygote.fork(&message, &descriptors);
        if let Some(zygote) = self.warm.get(&flavour) {
            match fork(zygote) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                other => return step("process namespace", || other),
            }
        }
        self.warm.remove(&flavour);
        let zygote = self.start_zygote(flavour)?;
        let guest = step("process namespace", || fork(&zygote));
        self.warm.insert(flavour, zygote);
        guest
    }

    /// What a warm process is told of a run, and for an interpreter the file with the rest.
    fn request(&self, flavour: Flavour, run: &Run) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
        if flavour == Flavour::Native {
            let request = launcher::Request { run: run.clone(), beside: self.beside() };
            return Ok((serde_json::to_vec(&request)?, None));
        }
        let rlimits = rlimits::clamp(&rlimits::of(run, self.beside()))?;
        let start = Start { rlimits: rlimits.iter().map(as_numbers).collect(), ..start(run) };
        Ok((start.message(), Some(start.file()?)))
    }

    /// Forks the guest inside the anchor's namespace; it finishes its walls and executes the program.
    fn fork_cold(&mut self, run: &Run, anchor: Option<&Child>, entry: &Entry<'_>) -> Result<Child, Failure> {
        let guest = step("process namespace", || {
            let Some(anchor) = anchor else { return sys::fork(CloneFlags::empty()) };
            setns(&anchor.pidfd, CloneFlags::CLONE_NEWPID)?;
            let flags =
                if self.plan.class == Class::Run { CloneFlags::empty() } else { CloneFlags::CLONE_NEWNS };
            let guest = sys::fork(flags);
            if !matches!(guest, Ok(None)) {
                setns(&self.own_pidfd, CloneFlags::CLONE_NEWPID)?;
            }
            guest
        })?;
        let Some(guest) = guest else {
            let Err(failure) = self.enter(run, entry);
            let text = serde_json::to_vec(&failure).unwrap_or_default();
            let _ = nix::unistd::write(&entry.report, &[b"!", &text[..]].concat());
            sys::exit_now(125);
        };
        Ok(guest)
    }

    /// Where a guest's source lies.
    fn directory(&self) -> &Path {
        self.plan.directory.as_deref().unwrap_or(Path::new(mounts::BOX))
    }

    /// Processes of the slot's user beside a guest: slot-init, the anchor and the warm interpreters. `None` where no
    /// limit may rest on that: a group counts better, or the user has processes elsewhere, so that the supervisor counts.
    fn beside(&self) -> Option<u64> {
        (missing(&self.plan) == Missing::Group).then(|| 2 + self.warm.len() as u64)
    }

    /// The guest's own side: the rest of the walls, in order, then exec.
    fn enter(&mut self, run: &Run, entry: &Entry<'_>) -> Result<Infallible, Failure> {
        let (image, report) = step("descriptors", || {
            let high = |fd: &OwnedFd| sys::duplicate_above(fd.as_fd(), 64);
            let (image, report) = (high(&entry.image)?, high(&entry.report)?);
            let python = run.action == Action::Python;
            let said = python.then(|| start(run).file()).transpose()?;
            let streams = entry.pipes.iter().zip(0..);
            let more = [
                (entry.values.as_ref(), zygote::VALUES),
                (python.then_some(&report), zygote::REPORT),
                (entry.compiled.as_ref(), zygote::CODE),
                (entry.export.as_ref(), zygote::EXPORT),
                (said.as_ref(), zygote::RUN),
            ];
            let more = more.iter().filter_map(|(fd, number)| Some((*fd.as_ref()?, *number)));
            let wanted: Vec<(OwnedFd, i32)> =
                streams.chain(more).map(|(fd, number)| Ok((high(fd)?, number))).collect::<io::Result<_>>()?;
            sys::seal_descriptors(3)?;
            for (fd, number) in &wanted {
                sys::duplicate_to(fd.as_fd(), *number)?;
            }
            sys::default_signals()?;
            sys::lead_group()?;
            nix::sys::stat::umask(Mode::from_bits_truncate(0o022));
            std::env::set_current_dir(if run.at_work { Path::new(mounts::TMP) } else { self.directory() })?;
            Ok((image, report))
        })?;
        if self.plan.user.is_some() {
            step("oom score", || self.die_first())?;
        }
        step("rlimits", || {
            rlimits::set(&rlimits::lasting(self.plan.class))?;
            rlimits::set(&rlimits::of(run, self.beside()))
        })?;
        step("credentials", || credentials::drop_all(self.plan.user))?;
        if let Some(rules) = &self.rules {
            step("landlock", || landlock::restrict(rules))?;
        } else if sys::landlock_version() > 0 {
            step("landlock", || landlock::restrict(&landlock::rules(self.plan.class)?))?;
        }
        let launch = step("exec", || self.launch(run))?;
        step("seccomp", || self.filters.install())?;
        step("exec", || {
            nix::unistd::write(&report, b"w")?;
            let Err(error) = launch.exec(&image);
            match launch.program {
                None => give_up_if_no_program(error),
                Some(_) => Err(error),
            }
        })
    }

    /// Out of memory in the group, the kernel shall choose the guest and never the slot-init.
    fn die_first(&self) -> io::Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let file = nix::fcntl::openat(&self.proc, "self/oom_score_adj", flags, Mode::empty())?;
        File::from(file).write_all(b"1000")
    }

    /// What to execute, with its arguments and environment.
    fn launch(&self, run: &Run) -> io::Result<Launch> {
        let text = |value: &str| Ok(CString::new(value)?);
        let (program, fixed): (Option<CString>, &[&str]) = match run.action {
            Action::Python => (Some(self.program()?), &["-s", "-B", "-c", zygote::DRIVER, "once"]),
            Action::Native => (None, &[]),
            Action::Tool => (Some(self.program()?), &[]),
        };
        let mut arguments = vec![program.clone().map_or_else(|| text("./main"), Ok)?];
        arguments.extend(fixed.iter().copied().map(text).collect::<io::Result<Vec<_>>>()?);
        if run.action == Action::Python {
            arguments.push(text(&start(run).flags().to_string())?);
        } else {
            arguments.extend(run.args.iter().map(|arg| text(arg)).collect::<io::Result<Vec<_>>>()?);
        }
        let mut environment = environment()?;
        environment.extend(run.environment.iter().map(|more| text(more)).collect::<io::Result<Vec<_>>>()?);
        Ok(Launch { program, arguments, environment })
    }
}

/// The descriptors that came with a run, by what they are.
fn entry<'a>(
    run: &Run,
    fds: Vec<OwnedFd>,
    pipes: &'a [OwnedFd; 3],
    report: OwnedFd,
) -> io::Result<Entry<'a>> {
    let mut fds = fds.into_iter();
    let mut next = || fds.next().ok_or_else(|| io::Error::other("a descriptor is missing"));
    Ok(Entry {
        image: next()?,
        pipes,
        report,
        values: run.values.then(&mut next).transpose()?,
        compiled: run.compiled.then(&mut next).transpose()?,
        export: run.export.then(&mut next).transpose()?,
        files: run.files.iter().map(|_| next()).collect::<io::Result<_>>()?,
    })
}

/// A run as the interpreter reads it.
fn start(run: &Run) -> Start<'_> {
    Start {
        args: &run.args,
        seed: run.seed,
        values: run.values,
        compiled: run.compiled,
        export: run.export,
        rlimits: Vec::new(),
    }
}

/// A limit as the interpreter takes it.
fn as_numbers((resource, value): &(Resource, u64)) -> (u32, u64) {
    (*resource as u32, *value)
}

fn environment() -> io::Result<Vec<CString>> {
    ENVIRONMENT.iter().map(|variable| Ok(CString::new(*variable)?)).collect()
}

/// What the guest's side reported before the guest's own code began; see `zygote.py`. All who could write are dead.
fn read_report(report: OwnedFd, action: Action) -> Result<Stage, Failure> {
    let mut text = Vec::new();
    step("supervision", || File::from(report).read_to_end(&mut text))?;
    if let Some(at) = text.iter().position(|byte| *byte == b'!') {
        return Err(serde_json::from_slice(&text[at + 1..]).unwrap_or_else(|_| {
            Failure::new("supervision", &io::Error::other("the guest's walls failed without a word"))
        }));
    }
    Ok(match text.as_slice() {
        b"" => Stage::Entering,
        b"w" if action == Action::Python => Stage::Compiling,
        _ => Stage::Running,
    })
}

/// An exec call, put together before the system-call list is on.
struct Launch {
    program: Option<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Launch {
    fn exec(&self, image: &OwnedFd) -> io::Result<Infallible> {
        Ok(match &self.program {
            Some(program) => execve(program, &self.arguments, &self.environment)?,
            None => {
                execveat(image, c"", &self.arguments, &self.environment, nix::fcntl::AtFlags::AT_EMPTY_PATH)?
            }
        })
    }
}

/// In a guest whose binary was not executed: where the binary is the reason, the run ends as a shell says it, and
/// nothing of ours has failed. A source may name a loader that is not there, or have itself compiled to a library.
pub(crate) fn give_up_if_no_program(error: io::Error) -> io::Result<Infallible> {
    /// What the kernel answers when it has read the file: no program, made for something else, or its loader is missing,
    /// no program, or not to be executed.
    const NO_PROGRAM: [i32; 11] = [
        libc::ENOEXEC,
        libc::ENOENT,
        libc::EACCES,
        libc::EPERM,
        libc::EINVAL,
        libc::EISDIR,
        libc::ENOTDIR,
        libc::ELOOP,
        libc::ENAMETOOLONG,
        libc::ELIBBAD,
        libc::EIO,
    ];
    const CANNOT_EXECUTE: i32 = 126;
    if !error.raw_os_error().is_some_and(|number| NO_PROGRAM.contains(&number)) {
        return Err(error);
    }
    eprintln!("the compiled program cannot be executed: {error}");
    sys::exit_now(CANNOT_EXECUTE);
}

/// All a guest finds in its environment: the same on every host, so verdicts repeat.
const ENVIRONMENT: &[&str] = &[
    "PATH=/usr/local/bin:/usr/bin:/bin",
    "HOME=/box",
    "LANG=C.UTF-8",
    "TMPDIR=/tmp",
    "PYTHONHASHSEED=0",
    "PYTHONUTF8=1",
    "OMP_NUM_THREADS=1",
    "OPENBLAS_NUM_THREADS=1",
    "MKL_NUM_THREADS=1",
];

/// Both ends of the guest's standard streams.
struct Pipes {
    guest: [OwnedFd; 3],
    client: [OwnedFd; 3],
}

/// Puts the source and the run's other files into the guest's own directory. No guest has been there yet. The source comes last,
/// so that it alone is in the way of nothing.
fn fill_workplace(tmp: &OwnedFd, run: &Run, entry: &Entry<'_>) -> io::Result<()> {
    let source = run.source.as_deref().map(|name| (name, &entry.image));
    for (path, content) in run.files.iter().map(String::as_str).zip(&entry.files).chain(source) {
        for (end, _) in path.match_indices('/') {
            match mkdirat(tmp, &path[..end], Mode::from_bits_truncate(0o777)) {
                Ok(()) | Err(nix::Error::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let target = nix::fcntl::openat(tmp, path, flags, Mode::from_bits_truncate(0o666))?;
        image::copy(content, &mut File::from(target))?;
    }
    Ok(())
}

/// A file that a guest left, as it lies there: a copy would be charged to the guest's memory. `None` where there is no regular
/// file. Every process that could write there is dead.
fn take_file(tmp: BorrowedFd<'_>, path: &str) -> io::Result<Option<OwnedFd>> {
    /// Nothing there, a link, something in the way, not to be opened, a socket: the guest's doing, whatever it was.
    const ITS_OWN: [i32; 7] = [
        libc::ENOENT,
        libc::ELOOP,
        libc::ENOTDIR,
        libc::EXDEV,
        libc::EACCES,
        libc::ENXIO,
        libc::ENAMETOOLONG,
    ];
    let file = match sys::open_beneath(tmp, &CString::new(path)?) {
        Ok(file) => File::from(file),
        Err(error) if error.raw_os_error().is_some_and(|number| ITS_OWN.contains(&number)) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    Ok(file.metadata()?.is_file().then(|| file.into()))
}

/// Opens the named pipes: each end is a description of its own, so the client's may be non-blocking.
fn open_pipes() -> io::Result<Pipes> {
    let [stdin, stdout, stderr] = mounts::PIPES.map(|(path, _)| path);
    let (stdin, stdin_client) = pipe_ends(stdin)?;
    let (stdout_client, stdout) = pipe_ends(stdout)?;
    let (stderr_client, stderr) = pipe_ends(stderr)?;
    Ok(Pipes { guest: [stdin, stdout, stderr], client: [stdin_client, stdout_client, stderr_client] })
}

/// Read end, write end of one named pipe. A reader that does not block can be opened first, then the writer.
fn pipe_ends(path: &str) -> io::Result<(OwnedFd, OwnedFd)> {
    let open = |flags: OFlag| open(Path::new(path), flags | OFlag::O_CLOEXEC, Mode::empty());
    let reader = open(OFlag::O_RDONLY | OFlag::O_NONBLOCK)?;
    let writer = open(OFlag::O_WRONLY)?;
    nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok((reader, writer))
}

/// Opening a named pipe to read waits until somebody opens it to write. A guest that opens /dev/stdin after its
/// whole input was written and closed would wait for ever; a writer that comes and goes lets it in, and it reads
/// the end. Readers notice nothing, and without a reader the call fails.
fn pulse_stdin() {
    let [(stdin, _), ..] = mounts::PIPES;
    let _ = open(stdin, OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty());
}

/// Ends the namespace: the kernel kills and reaps whatever is left in it before the anchor can be reaped.
fn end_anchor(anchor: &Child) {
    let _ = sys::signal(anchor.pidfd.as_fd(), libc::SIGKILL);
    let _ = sys::reap(anchor.pid);
}

/// Copies what a compiler made into a sealed memfd. Every process that could write there is dead. `None`: it left nothing
/// that could be a program, which is its source's doing.
fn take_product(tmp: BorrowedFd<'_>, name: &str) -> io::Result<Option<OwnedFd>> {
    let file = match sys::open_beneath(tmp, &CString::new(name)?) {
        Ok(file) => File::from(file),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ELOOP)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return match archive::pack(file.into()) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            packed => packed.map(Some),
        };
    }
    if !metadata.is_file() || metadata.len() > MAX_BINARY {
        return Ok(None);
    }
    image::sealed(file.take(MAX_BINARY)).map(Some)
}
