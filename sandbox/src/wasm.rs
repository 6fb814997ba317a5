//! The second engine: WebAssembly modules with WASI preview 1, run by wasmtime.
//!
//! There is no kernel wall here and no process: the module is compiled to machine code that can reach its own
//! linear memory and the few calls of [`wasi`](crate::wasi), nothing else. What a run may use is exact and
//! repeats:
//!
//! - **CPU time** is fuel: about one unit per instruction, one per byte moved in bulk, and the host's work
//!   priced in the same coin. The [`Rate`] turns a limit into fuel and fuel into the reported `cpu_time`, so
//!   the same module with the same input has the same usage and the same termination on a busy machine and on
//!   an idle one. After a trap the fuel since the last call or exit of a function is not in the figure: it was
//!   in a register. That repeats too.
//! - **Memory** is linear memory and tables ([`budget`]). A refused growth is remembered: if the program then
//!   ends in any way but exit 0, the memory limit is why.
//! - **Wall time**: nothing waits; sleeping moves the guest's clock ([`wasi`](crate::wasi)) and counts
//!   against the limit.
//! - **Backstop**: should fuel misprice some instruction, a run that burns [`BACKSTOP`] times its CPU limit
//!   plus its wall limit of the host's CPU is interrupted at the next epoch and ends as `WallTimeLimit`. A
//!   loaded machine does not bring that on: the measure is the thread's own CPU time.
//! - **Stack**: [`WASM_STACK`] for every run; `Limits::stack` and `processes` have no meaning here.
//! - **Files**: lent by the caller, not copied; they are no memory of the program's.
//!
//! A module is compiled once, in a process that can be killed ([`compiler`]), and kept ([`cache`]). Every run has
//! a store of its own, an instance from a pool ([`engine`]) and a place among so many at once ([`gate`]).

mod budget;
mod cache;
pub(crate) mod compiler;
mod engine;
mod gate;
mod shelf;

use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::io;
use std::iter;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use sha2::{Digest, Sha256};
use wasmtime::{Engine, InstancePre, Linker, Module, Store, Trap, UpdateDeadline};

use crate::sys::{self, Lent};
use crate::wasi::{self, Stop, Wasi};
use crate::{InputFile, Limits, Outcome, SandboxError, Termination, Usage};
use budget::Budget;
use cache::{Cache, Hash};
pub(crate) use compiler::Refusal;
use engine::{Room, WASM_STACK};
use gate::Gate;
pub(crate) use shelf::Shelf;

/// The host's CPU time may be this many times the guest's, plus `Limits::wall_time`, before the run is
/// interrupted.
const BACKSTOP: u32 = 4;

/// Stack of the thread that carries a guest.
const THREAD_STACK: usize = WASM_STACK + (8 << 20);

/// A compilation that was broken from outside is repeated; after so many it is reported.
const ATTEMPTS: usize = 3;

/// Fuel in a second of CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u64);

impl Rate {
    /// On a server core of the 2020s integer loops burn about three times as much in a second and loops that miss
    /// the cache a third, so a limit means about the same here as for native programs.
    pub(crate) const DEFAULT: Rate = Rate(2_000_000_000);

    /// The fuel of a duration.
    pub(crate) fn fuel(self, time: Duration) -> u64 {
        let fuel = time.as_nanos() * u128::from(self.0) / 1_000_000_000;
        u64::try_from(fuel).unwrap_or(u64::MAX).min(i64::MAX.cast_unsigned())
    }

    /// The duration of an amount of fuel.
    pub(crate) fn time(self, fuel: u64) -> Duration {
        let nanoseconds = u128::from(fuel) * 1_000_000_000 / u128::from(self.0);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// How an engine is started.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Runs at once, and compilations at once.
    pub(crate) slots: usize,
    pub(crate) rate: Rate,
    pub(crate) compiler: Compiler,
}

/// Where modules are compiled.
#[derive(Debug, Clone)]
pub(crate) enum Compiler {
    /// In a process of this executable, whose `main` begins with [`init`](crate::init).
    Process(PathBuf),
    /// In this process: for unit tests, whose `main` does not.
    #[cfg(test)]
    Here,
}

/// What a module is run with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    /// After the program's own name.
    pub(crate) args: &'a [String],
    /// Of the form `NAME=value`.
    pub(crate) environment: &'a [String],
    pub(crate) stdin: &'a [u8],
    /// Shown as a judge's; `None` is no directory at all.
    pub(crate) files: Option<&'a [InputFile<'a>]>,
    pub(crate) limits: &'a Limits,
}

impl<'a> Task<'a> {
    /// With nothing but limits.
    pub(crate) fn new(limits: &'a Limits) -> Task<'a> {
        Task { args: &[], environment: &[], stdin: b"", files: None, limits }
    }
}

/// Whose module it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Author {
    /// A program's: what would take the compiler long is refused unseen.
    Guest,
    /// The user's: the limits alone bound it.
    User,
}

/// What a store carries: the limiter and the guest's view of the world.
#[derive(Debug)]
pub(crate) struct Host {
    memory: Budget,
    pub(crate) wasi: Wasi,
}

/// The engine, the calls it links and the modules it has compiled.
pub(crate) struct Runtime {
    room: Room,
    engine: Engine,
    linker: Linker<Host>,
    settings: Settings,
    cache: Mutex<Cache<Prepared>>,
    /// For runs.
    gate: Gate,
    /// For compilations.
    workshop: Gate,
}

/// A compiled module with its imports resolved, and the hash of its bytes. It runs on the engine it was made by.
pub(crate) struct Prepared {
    hash: Hash,
    instance: InstancePre<Host>,
}

/// What became of a module.
pub(crate) type Compiled = Result<Result<Arc<Prepared>, Refusal>, SandboxError>;

impl Runtime {
    /// Reserves the slots, or does without where the host has no room for them.
    pub(crate) fn start(settings: Settings) -> Result<Runtime, SandboxError> {
        Runtime::in_room(Room::Pooled, settings.clone()).or_else(|_| Runtime::in_room(Room::Tight, settings))
    }

    fn in_room(room: Room, settings: Settings) -> Result<Runtime, SandboxError> {
        let engine = engine::for_runs(room, settings.slots).map_err(engine_failed)?;
        let mut linker = Linker::new(&engine);
        wasi::define(&mut linker, &engine).map_err(engine_failed)?;
        let gate = Gate::new(settings.slots);
        gate.tick(engine.clone()).map_err(step("wasm epoch"))?;
        let workshop = Gate::new(settings.slots);
        Ok(Runtime { room, engine, linker, settings, cache: Mutex::default(), gate, workshop })
    }

    /// Where instances are placed, for people.
    pub(crate) fn room(&self) -> &'static str {
        self.room.name()
    }

    /// Compiles a program's module under `limits`, or finds it compiled.
    ///
    /// # Errors
    /// `Step` when the compiler or the engine failed; what the module is to blame for is a [`Refusal`].
    pub(crate) fn prepare(&self, module: &[u8], limits: &Limits) -> Compiled {
        let hash: Hash = Sha256::digest(module).into();
        if let Some(known) = lock(&self.cache).find(&hash) {
            return Ok(Ok(known));
        }
        let artifact = match self.compile(module, limits, Author::Guest)? {
            Ok(artifact) => artifact,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let prepared = self.load(hash, &artifact)?;
        if let Ok(prepared) = &prepared {
            lock(&self.cache).insert(hash, Arc::clone(prepared), artifact.len());
        }
        Ok(prepared)
    }

    /// Compiles the user's own module, or takes its machine code from the shelf. The caller keeps it.
    ///
    /// # Errors
    /// As [`Runtime::prepare`].
    pub(crate) fn prepare_own(&self, module: &[u8], limits: &Limits, shelf: Option<&Shelf>) -> Compiled {
        let hash: Hash = Sha256::digest(module).into();
        let name = self.name_on_shelf(&hash);
        if let Some(artifact) = shelf.and_then(|shelf| shelf.find(&name))
            && let Ok(prepared) = self.load(hash, &artifact)
        {
            return Ok(prepared);
        }
        match self.compile(module, limits, Author::User)? {
            Err(refusal) => Ok(Err(refusal)),
            Ok(artifact) => {
                // It saves time, and that is all.
                let _ = shelf.map(|shelf| shelf.keep(&name, &artifact));
                self.load(hash, &artifact)
            }
        }
    }

    /// Of the module, and of all that its machine code depends on.
    fn name_on_shelf(&self, hash: &Hash) -> String {
        let mut engine = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut engine);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hash}-{:016x}", engine.finish())
    }

    fn load(&self, hash: Hash, artifact: &[u8]) -> Compiled {
        let module = sys::load_machine_code(&self.engine, artifact).map_err(engine_failed)?;
        Ok(match self.link(&module) {
            Ok(instance) => Ok(Arc::new(Prepared { hash, instance })),
            Err(message) => Err(Refusal::new(message)),
        })
    }

    fn compile(
        &self,
        module: &[u8],
        limits: &Limits,
        author: Author,
    ) -> Result<Result<Vec<u8>, Refusal>, SandboxError> {
        let _place = self.workshop.enter();
        match &self.settings.compiler {
            #[cfg(test)]
            Compiler::Here => Ok(compiler::here(self.room, module, author).map_err(Refusal::new)),
            Compiler::Process(helper) => {
                let mut attempt = 1;
                loop {
                    match compiler::compile(helper, self.room, module, limits, author) {
                        Err(_) if attempt < ATTEMPTS => attempt += 1,
                        other => return other.map_err(step("wasm compiler")),
                    }
                }
            }
        }
    }

    /// Resolves what a module imports; the error says what a program must have and this one has not.
    fn link(&self, module: &Module) -> Result<InstancePre<Host>, String> {
        let start = module.get_export("_start").and_then(|export| export.func().cloned());
        if !start.is_some_and(|start| start.params().len() == 0 && start.results().len() == 0) {
            return Err("the module exports no function `_start` without parameters and results; \
                        build it as a WASI command"
                .into());
        }
        self.linker.instantiate_pre(module).map_err(|error| format!("{error:#}"))
    }

    /// Runs a module's `_start` to its end.
    ///
    /// # Errors
    /// `Step` when the engine failed.
    pub(crate) fn run(&self, prepared: &Prepared, task: &Task<'_>) -> Result<Outcome, SandboxError> {
        let limits = task.limits;
        let backstop = limits.cpu_time.saturating_mul(BACKSTOP).saturating_add(limits.wall_time);
        let files = task.files.unwrap_or_default().iter().map(|file| file.bytes);
        let parts: Vec<&[u8]> = iter::once(task.stdin).chain(files).collect();
        let _place = self.gate.enter();
        on_own_stack(|| sys::lend(&parts, |lent| self.run_here(prepared, task, &lent, backstop)))?
    }

    /// Runs on this thread's stack; `lent` are stdin and files, `backstop` is the host's CPU time after which the run is
    /// interrupted.
    fn run_here(
        &self,
        prepared: &Prepared,
        task: &Task<'_>,
        lent: &[Lent],
        backstop: Duration,
    ) -> Result<Outcome, SandboxError> {
        let rate = self.settings.rate;
        let fuel = rate.fuel(task.limits.cpu_time);
        let host = Host {
            memory: Budget::new(task.limits.memory),
            wasi: Wasi::new(task, lent, (rate, fuel), seed(&prepared.hash, task)),
        };
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.memory);
        store.set_fuel(fuel).map_err(engine_failed)?;
        let cpu_start = thread_cpu_time();
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            let over = thread_cpu_time().saturating_sub(cpu_start) > backstop;
            Ok(if over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
        });

        let started = Instant::now();
        let ended = prepared.instance.instantiate(&mut store).and_then(|instance| {
            instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
        });
        let used = fuel - store.get_fuel().map_err(engine_failed)?;
        let Host { memory, wasi } = store.into_data();
        let termination = termination(ended, &memory)?;
        let [stdout, stderr] = wasi.written;
        let usage = Usage {
            cpu_time: rate.time(used),
            wall_time: started.elapsed().saturating_add(wasi.slept),
            peak_memory: memory.used,
            fuel: used,
        };
        Ok(Outcome { stdout, stderr, usage, ..Outcome::of(termination) })
    }

    /// Whether the engine works on this machine, by running the smallest program; the error says why not.
    pub(crate) fn examine(&self) -> Result<(), String> {
        // (module (func (export "_start")))
        const SMALLEST: &[u8] =
            b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";
        let text = |error: SandboxError| error.to_string();
        let prepared = self.prepare(SMALLEST, &Limits::COMPILE).map_err(text)?.map_err(|no| no.message)?;
        match self.run(&prepared, &Task::new(&Limits::DEFAULT)).map_err(text)?.termination {
            Termination::Exited(0) => Ok(()),
            other => Err(format!("the smallest program ended with {other:?}")),
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("room", &self.room)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// Runs on a thread whose stack holds the guest's. A panic there is our failure, not the caller's end.
fn on_own_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, SandboxError> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("wasm".into()).stack_size(THREAD_STACK);
        let worker = builder.spawn_scoped(scope, work).map_err(step("wasm thread"))?;
        worker.join().map_err(|_| step("wasm thread")(io::Error::other("the engine panicked")))
    })
}

/// Why the guest ended. An error that is neither a trap nor a stop is the engine's failure.
fn termination(ended: wasmtime::Result<()>, memory: &Budget) -> Result<Termination, SandboxError> {
    let termination = match ended {
        Ok(()) => Termination::Exited(0),
        Err(error) => match (error.downcast_ref::<Stop>(), error.downcast_ref::<Trap>()) {
            (Some(stop), _) => stopped(*stop),
            (None, Some(trap)) => trapped(*trap),
            (None, None) if memory.refused => Termination::MemoryLimit,
            (None, None) => return Err(engine_failed(error)),
        },
    };
    Ok(match termination {
        Termination::Exited(0) => termination,
        Termination::Exited(_) | Termination::Signaled(_) if memory.refused => Termination::MemoryLimit,
        _ => termination,
    })
}

fn stopped(stop: Stop) -> Termination {
    match stop {
        Stop::Exit(code) => Termination::Exited(code),
        Stop::Raise(signal) => Termination::Signaled(signal),
        Stop::Output => Termination::OutputLimit,
        Stop::Slept => Termination::WallTimeLimit,
    }
}

/// A trap as the signal a native program would have got for the same mistake.
fn trapped(trap: Trap) -> Termination {
    match trap {
        Trap::OutOfFuel => Termination::CpuTimeLimit,
        Trap::Interrupt => Termination::WallTimeLimit,
        Trap::AllocationTooLarge => Termination::MemoryLimit,
        Trap::StackOverflow
        | Trap::MemoryOutOfBounds
        | Trap::TableOutOfBounds
        | Trap::IndirectCallToNull
        | Trap::NullReference => Termination::Signaled(libc::SIGSEGV),
        Trap::HeapMisaligned => Termination::Signaled(libc::SIGBUS),
        Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => {
            Termination::Signaled(libc::SIGFPE)
        }
        _ => Termination::Signaled(libc::SIGILL),
    }
}

fn engine_failed(error: wasmtime::Error) -> SandboxError {
    step("wasm engine")(io::Error::other(format!("{error:#}")))
}

/// Names the step of an error of ours.
fn step(step: &'static str) -> impl Fn(io::Error) -> SandboxError {
    move |source| SandboxError::Step { step, source }
}

/// Seeds everything random a guest can see. Of stdin and files the lengths and the first bytes count, as for native
/// programs: the host does not read hundreds of megabytes for a program that may not even ask.
fn seed(module: &[u8; 32], task: &Task<'_>) -> [u8; 32] {
    const COUNTED: usize = 64 << 10;
    let mut hasher = Sha256::new().chain_update(module);
    for arg in task.args {
        hasher = hasher.chain_update(arg).chain_update([0]);
    }
    let mut add = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes[..bytes.len().min(COUNTED)]);
    };
    add(task.stdin);
    for file in task.files.unwrap_or_default() {
        add(file.name.as_bytes());
        add(file.bytes);
    }
    hasher.finalize().into()
}

fn thread_cpu_time() -> Duration {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(Duration::ZERO, |usage| {
        let micros = |time: nix::sys::time::TimeVal| {
            u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0)
        };
        Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
    })
}

/// A lock whose data stays good even if a holder panicked: every update above is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
