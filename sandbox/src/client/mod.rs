//! The caller's side: a handle any thread may use, blocking calls, no async.
//!
//! A call leases a slot (or waits for one), sends the program to its slot-init, feeds and drains the pipes itself,
//! watches CPU time, idle time and memory, ends the run when a limit is passed, and makes the outcome from facts:
//! the status its parent reaped, the counters of its control group, the bytes in the pipes.

mod alone;
mod blame;
mod cache;
mod checks;
mod compile;
mod examine;
mod facts;
mod guest;
pub(crate) mod headers;
mod idleness;
mod interaction;
mod job;
mod knobs;
mod modules;
mod overdue;
mod pool;
mod process;
mod session;
mod stream;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::language::{Engine, Work, main_class};
use crate::protocol::Flavour;
use crate::wasm::Task;
use crate::workplace::{self, Fetched, Workplace};
use crate::{Judge, Lack, Language, Limits, Outcome, Program, SandboxError, Termination, Tier, Usage, image};

use alone::{Alone, Gate, Inside};
use checks::{check_judge, check_limits, check_program};
use guest::{Done, Guest, Material};
use interaction::Dialogue;
pub use interaction::{Interaction, Message, Side, Transcript};
use job::{Job, all_args, hash, judge_job, request, work_job};
use modules::{Module, Modules};
use pool::{Lease, Role, Room, Walls};
pub use session::{Exchange, Session};

/// A run is repeated on another slot when one breaks; after this many it is reported.
const ATTEMPTS: usize = 3;
/// How long a run that is to be repeated alone waits for the others to end.
const RERUN_PATIENCE: Duration = Duration::from_secs(10);
/// What address space a guest may reserve beyond its memory limit: runtimes reserve much and touch little.
const ADDRESS_SLACK: u64 = 16 << 30;

/// How a sandbox is started.
#[derive(Debug, Clone, Default)]
pub struct SandboxConfig {
    /// The executable that becomes spawner and slot-init; its `main` calls [`init`](crate::init) first.
    /// `None`: this one.
    pub helper: Option<PathBuf>,
    /// Programs running at once, each in a slot of its own; 0 means one per core. As many checkers and interactors beside
    /// them, in slots of their own.
    pub slots: usize,
    /// The least acceptable tier; below it, refuse to start. `None`: whatever kernel walls the host gives; without
    /// any, WebAssembly alone runs only if [`Tier::W`] was named here.
    pub tier: Option<Tier>,
    /// The Python interpreter to use. `None`: the environment's `ASSAY_PYTHON`, then `python3` of `PATH`, then
    /// `/usr/bin/python3`. Under a guardian only the environment counts: the spawner was started by then.
    pub python: Option<PathBuf>,
    /// The C++ compiler to use. `None`: `ASSAY_CXX`, then `g++` of `PATH`. Under a guardian as above.
    pub compiler: Option<PathBuf>,
    /// The interpreter of the language `python-wasi`: CPython as a WebAssembly module, with its library in it. `None`:
    /// `ASSAY_PYTHON_WASM`, then `python.wasm` of `PATH`. It is compiled by the first program that needs it, which takes
    /// seconds, and kept as long as the sandbox.
    pub python_wasm: Option<PathBuf>,
    /// A file with more languages, of the form of the sandbox's own `languages.toml`. `None`: the environment's
    /// `ASSAY_LANGUAGES`, if set. Under a guardian only the environment counts. See [`Language::load`].
    pub languages: Option<PathBuf>,
    /// A directory of this user's for what is worth keeping between processes: precompiled headers, which make compiling
    /// C++ several times faster, some 100 MB each, at most eight; interpreters that are WebAssembly modules, compiled,
    /// some 40 MB each, at most four. `None`: the environment's `ASSAY_CACHE`, if set; else
    /// none are made. Under a guardian only the environment counts.
    pub cache: Option<PathBuf>,
    /// How much of what compilers made is kept in memory, in bytes, so that the same source is compiled once; 0 keeps
    /// nothing. `None`: 64 MiB.
    pub kept_programs: Option<u64>,
    /// Start an interpreter anew for every run instead of forking a warm one: the same results, some ten times
    /// slower.
    pub cold_start: bool,
    /// Told, on the thread that waits for a run or a session, when its program has been idle for some 50 ms, and `false` when it
    /// works again, wants to, or is over. For callers that run more programs at once than there are cores: one that
    /// sleeps takes none. Not told of compilers, of interactive runs and of WebAssembly.
    pub idleness: Option<fn(bool)>,
    /// Asked every 50 ms, on the thread that waits for a run or a session, whether nobody wants its result any more; then the
    /// program is ended as if it had been idle for too long. Not asked about compilers, whose product others may be waiting for,
    /// about interactive runs and about WebAssembly.
    pub unwanted: Option<fn() -> bool>,
    /// What is not used though the host may have it. For tests of the weaker tiers; under a guardian it does nothing.
    pub without: Vec<Lack>,
    /// How much fuel of a WebAssembly program, about one instruction a unit, makes a second of
    /// [`Limits::cpu_time`]; 0 means two thousand million.
    pub fuel_per_second: u64,
}

/// A pool of slots behind kernel walls. Cheap to clone; clones share the pool; blocking calls from any thread.
#[derive(Debug, Clone)]
pub struct Sandbox {
    walls: Walls,
    modules: Arc<Modules>,
    gate: Arc<Gate>,
    /// Through this handle the sandbox is used by its holder alone.
    alone: Option<Arc<Alone>>,
    manner: Manner,
}

/// What is done about a slot that breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Try another one.
    Stubborn,
    /// Tell.
    Once,
}

/// A program ready to run any number of times, on any slot.
#[derive(Debug, Clone)]
pub struct Executable {
    language: Language,
    args: Vec<String>,
    image: Image,
    compiling: Option<Usage>,
}

#[derive(Debug, Clone)]
enum Image {
    /// A source for the interpreter.
    Script(Arc<Script>),
    /// A sealed memory file with a native binary.
    Binary(Arc<OwnedFd>),
    /// What a runtime runs.
    Hosted(Arc<Hosted>),
    /// A WebAssembly module, or what one interprets.
    Module(Module),
}

/// A source or what a compiler made of it, in a sealed memory file, for a runtime.
#[derive(Debug)]
struct Hosted {
    file: Arc<OwnedFd>,
    /// Java's main class.
    class: String,
}

/// A source for the interpreter, in a sealed memory file.
#[derive(Debug)]
struct Script {
    source: OwnedFd,
    /// As the interpreter compiled it in the program's first run, in the box. It is never read here, and loaded
    /// only by this program's own processes behind their walls.
    compiled: OnceLock<OwnedFd>,
    flavour: Flavour,
    /// A hash of source and arguments.
    seed: u64,
}

impl Executable {
    /// What the program was written in.
    pub fn language(&self) -> Language {
        self.language
    }

    /// What the compiler used, where there was one; of a program that was compiled before, what it used then.
    pub fn compiling(&self) -> Option<Usage> {
        self.compiling
    }
}

/// What became of a program's source.
#[derive(Debug)]
pub enum Prepared {
    /// It can run.
    Ready(Executable),
    /// The compiler refused it or ran into its own limits; the outcome is the compiler's, `stderr` its message.
    Refused(Outcome),
}

impl Sandbox {
    /// Starts a spawner of its own and takes its socket. For tests and tools that run without a guardian.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] when the host allows no tier, or none as good as `config.tier`; `Invalid` when the
    /// file of languages is wrong.
    pub fn start(config: &SandboxConfig) -> Result<Sandbox, SandboxError> {
        load_languages(config)?;
        Ok(Sandbox::new(config, Walls::start(config)?))
    }

    /// Takes the spawner that the guardian passed on; `None` when this process was not started by one.
    ///
    /// # Errors
    /// As [`Sandbox::start`], and when the inherited socket is not one.
    pub fn connect(config: &SandboxConfig) -> Result<Option<Sandbox>, SandboxError> {
        load_languages(config)?;
        Ok(Walls::connect(config)?.map(|walls| Sandbox::new(config, walls)))
    }

    /// This sandbox for its holder alone: everybody else waits until the handle is dropped. `None` when the others do
    /// not end within `patience`.
    fn alone(&self, patience: Duration) -> Option<Sandbox> {
        if self.alone.is_some() {
            return Some(self.clone());
        }
        let alone = self.gate.alone(patience)?;
        Some(Sandbox { alone: Some(Arc::new(alone)), ..self.clone() })
    }

    /// Held while a program runs; see `alone.rs`.
    fn enter(&self) -> Option<Inside> {
        self.alone.is_none().then(|| self.gate.enter())
    }

    fn new(config: &SandboxConfig, walls: Walls) -> Sandbox {
        let (gate, modules) = (Arc::default(), Arc::new(Modules::new(config)));
        Sandbox { walls, modules, gate, alone: None, manner: Manner::Stubborn }
    }

    /// Compiles: C++ by g++ behind the walls, WebAssembly by the engine's compiler in a process of its own. `limits`
    /// bound the *compiler*, not the program: pass [`Limits::COMPILE`] unless there is a reason. Where the interpreter is a
    /// module, that compiles the source here, and again in each run. Any other Python source is always ready: its first run compiles it, in its own process and under its own limits, and says so if it is
    /// [refused](Outcome::refused).
    ///
    /// # Errors
    /// [`SandboxError::Invalid`] for a source over its cap or absurd limits; `Unavailable` when the host has no
    /// interpreter or compiler; `Step` when a wall failed.
    pub fn prepare(&self, program: &Program, limits: &Limits) -> Result<Prepared, SandboxError> {
        check_program(program)?;
        check_limits(limits)?;
        let ready = |image, compiling| {
            let (language, args) = (program.language, program.args.clone());
            Ok(Prepared::Ready(Executable { language, args, image, compiling }))
        };
        let source = || image::sealed(program.source.as_slice()).map_err(step_error("source"));
        let module = |bytes: &[u8], compiling| match self.modules.module(bytes, limits)? {
            Ok(module) => ready(Image::Module(module), compiling),
            Err(outcome) => Ok(Prepared::Refused(outcome)),
        };
        let entry = program.language.entry();
        match entry.engine {
            Engine::Wasm if entry.is_module() => return module(&program.source, None),
            Engine::Wasm if entry.is_interpreted_module() => {
                let (module, outcome) =
                    self.modules.interpreted(program.language, &program.source, limits)?;
                return match module {
                    Some(module) => ready(Image::Module(module), Some(outcome.usage)),
                    None => Ok(Prepared::Refused(outcome)),
                };
            }
            Engine::Python | Engine::Runtime => {
                self.walls.pool()?.tool(Room::of(program.language, Role::Program))?;
            }
            Engine::Wasm | Engine::Native => {}
        }
        let compiled = match entry.tool(Work::Compile) {
            None => None,
            Some(_) => match self.compile(program, limits)? {
                Ok(product) => Some(product),
                Err(outcome) => return Ok(Prepared::Refused(outcome)),
            },
        };
        let usage = compiled.as_ref().map(|product| product.usage);
        match (entry.engine, compiled) {
            (Engine::Native, Some(product)) => ready(Image::Binary(product.file), usage),
            (Engine::Wasm, Some(product)) => {
                let most = Program::MAX_MODULE as u64;
                let bytes = product.file.try_clone().and_then(|file| image::read(&file.into(), most));
                module(&bytes.map_err(step_error("binary"))?, usage)
            }
            (Engine::Runtime, compiled) => {
                let file = compiled.map_or_else(|| source().map(Arc::new), |product| Ok(product.file))?;
                let class = main_class(&program.source);
                ready(Image::Hosted(Arc::new(Hosted { file, class })), usage)
            }
            _ => ready(Image::Script(Arc::new(Script::new(program, source()?))), None),
        }
    }

    /// Runs to the end: `stdin` is fed through a pipe, stdout and stderr are drained to their cap. A slot that
    /// breaks is replaced and the run repeated on another one. One that passes its CPU limit by less than half, on a
    /// machine that made it wait for a core, is [run once more](Outcome::rerun) alone, and that result stands.
    ///
    /// # Errors
    /// [`SandboxError::Invalid`] for absurd limits; `Step` when slots broke and it is not settled that the program
    /// broke them.
    pub fn run(
        &self,
        executable: &Executable,
        stdin: &[u8],
        limits: &Limits,
    ) -> Result<Outcome, SandboxError> {
        check_limits(limits)?;
        if let Image::Module(module) = &executable.image {
            let task = Task { args: &executable.args, stdin, ..Task::new(limits) };
            return module.run(executable.language, &task);
        }
        let done = self.repeat(&executable.job(stdin)?, stdin, limits)?;
        if let (Image::Hosted(_), Termination::Exited(1..) | Termination::Signaled(_)) =
            (&executable.image, done.outcome.termination)
        {
            self.vouch(executable.language, Role::Program)?;
        }
        executable.image.keep(done.code);
        Ok(done.outcome)
    }

    /// Runs to the end as [`Sandbox::run`] does, in a directory of the run's own with these files, and takes files out of it.
    /// Interpreters are started anew for it, so `random` begins anywhere.
    ///
    /// # Errors
    /// As [`Sandbox::run`]; [`SandboxError::Invalid`] also for files over their caps, impossible paths and WebAssembly;
    /// `Unavailable` in tier D, whose slots have no such place.
    pub fn run_at(
        &self,
        executable: &Executable,
        place: &Workplace<'_>,
        stdin: &[u8],
        limits: &Limits,
    ) -> Result<(Outcome, Fetched), SandboxError> {
        check_limits(limits)?;
        workplace::check(place)?;
        let job = work_job(executable, place, stdin)?;
        self.walls.pool()?.tool(job.room)?;
        let done = self.repeat(&job, stdin, limits)?;
        let mut fetched = done.fetched;
        fetched.resize(place.fetch.len(), None);
        Ok((done.outcome, fetched))
    }

    /// Runs a checker to its end: a run with arguments and files of its own, on a slot that no program under test
    /// ever gets. `stdin` is for checkers that read the output in question there.
    ///
    /// # Errors
    /// [`SandboxError::Invalid`] for absurd limits, and for arguments or files over their caps or with impossible names;
    /// `Step` when three slots broke.
    pub fn check(&self, checker: &Judge<'_>, stdin: &[u8]) -> Result<Outcome, SandboxError> {
        check_judge(checker)?;
        if let Image::Module(module) = &checker.executable.image {
            let (args, files) = (&all_args(checker), Some(checker.files));
            let task = Task { args, stdin, files, ..Task::new(checker.limits) };
            return module.run(checker.executable.language, &task);
        }
        let done = self.repeat(&judge_job(checker, stdin)?, stdin, checker.limits)?;
        checker.executable.image.keep(done.code);
        Ok(done.outcome)
    }

    /// Runs a solution and a judge's program (an interactor) that talk to each other: what one writes to stdout the other
    /// reads from stdin. Each has its own limits; `limits` are the solution's. `transcript` is how many bytes of what is
    /// said are kept: 0 for none. The solution sees nothing of the judge's files and arguments.
    ///
    /// - A program that ends, or closes its stdout, ends the other one's input. The other may go on within its limits, and
    ///   what it then writes is counted and dropped. Nobody waits to write; nobody is ended by a broken pipe.
    /// - `Limits::output` bounds what each side writes to the other (and to stderr).
    /// - `Limits::wall_time` bounds the time in which *neither* of the two runs, counted against both alike; when one
    ///   has ended, the other begins anew. If both are over, the solution is ended. So give the judge no less of
    ///   it than the solution, and two that wait for each other are the solution's fault.
    ///
    /// Two slots are taken for the time of the run, of which one is kept for judges.
    ///
    /// # Errors
    /// [`SandboxError::Invalid`] for what [`Sandbox::check`] refuses, and for WebAssembly; `Step` when slots broke three
    /// times.
    pub fn interact(
        &self,
        solution: &Executable,
        limits: &Limits,
        judge: &Judge<'_>,
        transcript: usize,
    ) -> Result<Interaction, SandboxError> {
        check_limits(limits)?;
        check_judge(judge)?;
        let jobs = (solution.job(&[])?, judge_job(judge, &[])?);
        let settled = self.settle(solution.language, |sandbox| {
            let _inside = sandbox.enter();
            let (solution, judge) = sandbox.launch_both((&jobs.0, limits), (&jobs.1, judge.limits))?;
            Dialogue::new(solution, judge, transcript).run()
        })?;
        let Some((solution_done, judge_done, first, transcript)) = settled else {
            let (solution, judge) =
                (Outcome::of(Termination::BrokeSlots), Outcome::of(Termination::Signaled(9)));
            return Ok(Interaction {
                solution,
                judge,
                first: Side::Solution,
                transcript: Transcript::default(),
            });
        };
        solution.image.keep(solution_done.code);
        judge.executable.image.keep(judge_done.code);
        Ok(Interaction { solution: solution_done.outcome, judge: judge_done.outcome, first, transcript })
    }

    /// Starts a program that is fed frames; it holds a slot until the session is closed or dropped. A source that the
    /// interpreter refuses ends the session, as one that ends before its first value. What a session was fed the sandbox
    /// does not know, so it repeats none: neither on another slot ([`Sandbox::settle`] is for that), nor alone when the
    /// CPU limit was passed on a busy machine.
    ///
    /// # Errors
    /// As [`Sandbox::run`]; [`SandboxError::Invalid`] for WebAssembly, which has no sessions.
    pub fn open(&self, executable: &Executable, limits: &Limits) -> Result<Session, SandboxError> {
        check_limits(limits)?;
        let job = executable.job(&[])?;
        let inside = self.enter();
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.launch(&job, true, limits) {
                Ok(guest) => return Ok(Session::new(guest.telling().asking(), executable.clone(), inside)),
                Err(SandboxError::Step { .. }) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How many programs run at once.
    pub fn slots(&self) -> usize {
        match &self.walls {
            Walls::Up(pool) => pool.most(),
            Walls::Missing { .. } => 1,
        }
    }

    /// The tier found; `None` where the host allows none.
    pub fn tier(&self) -> Option<Tier> {
        match &self.walls {
            Walls::Up(pool) => pool.host().tier.as_deref().and_then(Tier::from_name),
            Walls::Missing { .. } => Some(Tier::W),
        }
    }

    /// Runs on one slot after another until one does not break, or it is clear that the program breaks them; then once
    /// more, alone, if the machine may have made it slow.
    fn repeat(&self, job: &Job<'_>, stdin: &[u8], limits: &Limits) -> Result<Done, SandboxError> {
        let run = |sandbox: &Sandbox| {
            let settled = sandbox.settle(job.room.language, |sandbox| sandbox.once(job, stdin, limits))?;
            Ok(settled.unwrap_or_else(Done::broke_slots))
        };
        let done = run(self)?;
        if done.slowed
            && let Some(alone) = self.alone(RERUN_PATIENCE)
        {
            let again = run(&alone)?;
            return Ok(Done { outcome: Outcome { rerun: true, ..again.outcome }, ..again });
        }
        Ok(done)
    }

    /// One run on one slot.
    fn once(&self, job: &Job<'_>, stdin: &[u8], limits: &Limits) -> Result<Done, SandboxError> {
        let _inside = self.enter();
        let guest = self.launch(job, false, limits)?.telling();
        let under_test = matches!(job.room.role, Role::Program | Role::Workplace);
        let guest = if under_test { guest.asking() } else { guest };
        let done = guest.run_to_end(stdin, self.alone.is_none())?;
        // No source has its compiler kill itself, so somebody outside did (an operator, a machine without memory), and that
        // refuses no program.
        if job.room.role == Role::Compiler && done.outcome.termination == Termination::Signaled(libc::SIGKILL)
        {
            return Err(step_error("supervision")(std::io::Error::other(
                "the compiler was killed from outside",
            )));
        }
        Ok(done)
    }

    /// Starts it on a leased slot.
    fn launch(&self, job: &Job<'_>, values: bool, limits: &Limits) -> Result<Guest, SandboxError> {
        Self::start_on(self.walls.pool()?.lease(job.room)?, job, values, limits)
    }

    /// Starts a solution and its judge on two leased slots. Both slots are ready before either program starts, so that
    /// neither waits for the other's.
    fn launch_both(
        &self,
        solution: (&Job<'_>, &Limits),
        judge: (&Job<'_>, &Limits),
    ) -> Result<(Guest, Guest), SandboxError> {
        let lease = |(job, _): (&Job<'_>, _)| -> Result<Lease, SandboxError> {
            let mut lease = self.walls.pool()?.lease(job.room)?;
            lease.warm(job.flavour())?;
            Ok(lease)
        };
        let (lease, judge_lease) = (lease(solution)?, lease(judge)?);
        let judge = Self::start_on(judge_lease, judge.0, false, judge.1)?;
        Ok((Self::start_on(lease, solution.0, false, solution.1)?, judge))
    }

    fn start_on(lease: Lease, job: &Job<'_>, values: bool, limits: &Limits) -> Result<Guest, SandboxError> {
        let limits = &job.needs.added_to(limits);
        let compiled = job.script.and_then(|script| script.compiled.get());
        let run = request(job, compiled.is_some(), values, limits);
        let material = Material { image: job.image, compiled, files: &job.files };
        Guest::start(lease, run, &material, limits)
    }
}

impl Image {
    /// Keeps the code that a first run compiled, for the next. Where it cannot be kept, the next compiles again: the run
    /// that made it has ended well.
    fn keep(&self, code: Option<Vec<u8>>) {
        if let (Image::Script(script), Some(code)) = (self, code)
            && let Ok(code) = image::sealed(code.as_slice())
        {
            let _ = script.compiled.set(code);
        }
    }
}

impl Script {
    fn new(program: &Program, source: OwnedFd) -> Script {
        let names = |word: &[u8]| program.source.windows(word.len()).any(|window| window == word);
        let numpy = [&b"numpy"[..], b"scipy", b"pandas"].into_iter().any(names);
        Script {
            source,
            compiled: OnceLock::new(),
            flavour: if numpy { Flavour::Numpy } else { Flavour::Plain },
            seed: program.args.iter().fold(hash(0, &program.source), |seed, arg| hash(seed, arg.as_bytes())),
        }
    }
}

/// The languages that this process and its spawner are to know.
fn load_languages(config: &SandboxConfig) -> Result<(), SandboxError> {
    config.languages.as_deref().map_or_else(Language::load_configured, Language::load)
}

/// Names the step of an error of ours.
fn step_error<E: Into<std::io::Error>>(step: &'static str) -> impl Fn(E) -> SandboxError {
    move |source| SandboxError::Step { step, source: source.into() }
}
