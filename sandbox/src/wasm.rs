//! The second engine: WebAssembly modules with WASI preview 1, run by wasmtime.
//!
//! There is no kernel wall here and no process: the module is compiled to machine code that can reach its own
//! linear memory and the few calls of [`wasi`](crate::wasi), nothing else. What a run may use is exact and
//! repeats:
//!
//! - **CPU time** is fuel: about one unit per instruction, one per byte moved in bulk, and the host's work
//!   priced in the same coin. [`FUEL_PER_SECOND`] turns a limit into fuel and fuel into the reported
//!   `cpu_time`, so the same module with the same input has the same usage and the same termination on a busy
//!   machine and on an idle one.
//! - **Memory** is linear memory and tables, counted whole when they grow, touched or not. A refused growth
//!   is remembered: if the program then ends in any way but exit 0, the memory limit is why.
//! - **Wall time**: nothing waits; sleeping moves the guest's clock ([`wasi`](crate::wasi)) and counts
//!   against the limit.
//! - **Backstop**: should fuel misprice some instruction, a run that burns [`BACKSTOP`] times its CPU limit
//!   plus its wall limit of the host's CPU is interrupted at the next epoch and ends as `WallTimeLimit`. A
//!   loaded machine does not bring that on: the measure is the thread's own CPU time.
//! - **Stack**: [`WASM_STACK`] for every run; `Limits::stack`, `processes` and `open_files` have no meaning
//!   here.
//!
//! A module is compiled once and kept ([`Cache`]); every run has a store of its own. The compiler runs in the
//! calling process on guest bytes, on a thread of its own. Some of its passes take quadratic time in a
//! function's size, so a compilation over [`COMPILE_TIME`] of CPU refuses the module and is left behind to
//! end by itself; the caps on functions ([`MAX_FUNCTION`], [`MAX_SQUARES`]) bound how long that takes. A
//! process that could be killed would bound it better.

use std::fs;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{Pid, gettid};
use sha2::{Digest, Sha256};
use wasmtime::{
    Config, Engine, InstancePre, Linker, Module, OperatorCost, ResourceLimiter, Store, Trap, UpdateDeadline,
};

use crate::wasi::{self, Stop, Wasi};
use crate::{Limits, Outcome, Program, SandboxError, Termination, Usage};

/// Fuel in a second of CPU time. On a server core of the 2020s integer loops burn about three times as much
/// in a second and loops that miss the cache a third, so a limit means about the same here as for native
/// programs.
pub(crate) const FUEL_PER_SECOND: u64 = 2_000_000_000;

/// The host's CPU time may be this many times the guest's, plus `Limits::wall_time`, before the run is
/// interrupted.
const BACKSTOP: u32 = 4;

/// How often the backstop looks.
const EPOCH: Duration = Duration::from_millis(20);

/// Call stack of the guest, and of the thread that carries it and its compiler.
const WASM_STACK: usize = 64 << 20;
const THREAD_STACK: usize = WASM_STACK + (8 << 20);

/// CPU time the compiler may take.
const COMPILE_TIME: Duration = Limits::COMPILE.cpu_time;

/// Longest function body, in bytes, and the most that the squares of all lengths may come to (sixteen
/// functions of 64 KiB).
const MAX_FUNCTION: u64 = 256 << 10;
const MAX_SQUARES: u64 = 1 << 36;

/// Compiled modules kept: so many, of so many bytes of WebAssembly together.
const CACHED_MODULES: usize = 64;
const CACHED_BYTES: usize = 64 << 20;

/// Bytes of a table element.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// Whether the bytes are a module this engine can run; the error is the engine's own message.
pub(crate) fn validate(module: &[u8]) -> Result<(), String> {
    // Only what the module is to blame for refuses it: an engine or thread that does not start says so in
    // `run`.
    let Ok(runtime) = Runtime::get() else { return Ok(()) };
    runtime.prepare(module).map(|_| ())
}

/// Runs a module's `_start` to its end.
///
/// # Errors
/// [`SandboxError::Invalid`] for a module that [`validate`] refuses and for an argument with a NUL byte;
/// `Step` when the engine failed.
pub(crate) fn run(
    module: &[u8],
    args: &[String],
    stdin: &[u8],
    limits: &Limits,
) -> Result<Outcome, SandboxError> {
    if let Some(arg) = args.iter().find(|arg| arg.contains('\0')) {
        return Err(SandboxError::Invalid(format!("argument {arg:?} has a NUL byte; leave it out")));
    }
    let runtime = Runtime::get()?;
    let prepared = runtime.prepare(module).map_err(SandboxError::Invalid)?;
    let backstop = limits.cpu_time.saturating_mul(BACKSTOP).saturating_add(limits.wall_time);
    on_own_stack(|| runtime.run(&prepared, args, stdin, limits, backstop))?
}

/// Whether the engine works on this machine, by running the smallest program; the error says why not.
pub(crate) fn examine() -> Result<(), String> {
    // (module (func (export "_start")))
    const SMALLEST: &[u8] =
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";
    match run(SMALLEST, &[], b"", &Limits::DEFAULT) {
        Ok(Outcome { termination: Termination::Exited(0), .. }) => Ok(()),
        Ok(outcome) => Err(format!("the smallest program ended with {:?}", outcome.termination)),
        Err(error) => Err(error.to_string()),
    }
}

/// What a store carries: the limiter and the guest's view of the world.
#[derive(Debug)]
pub(crate) struct Host {
    memory: Budget,
    pub(crate) wasi: Wasi,
}

/// The fuel of a duration.
pub(crate) fn fuel_of(time: Duration) -> u64 {
    let fuel = time.as_nanos() * u128::from(FUEL_PER_SECOND) / 1_000_000_000;
    u64::try_from(fuel).unwrap_or(u64::MAX).min(i64::MAX.cast_unsigned())
}

/// The duration of an amount of fuel.
pub(crate) fn time_of(fuel: u64) -> Duration {
    let nanoseconds = u128::from(fuel) * 1_000_000_000 / u128::from(FUEL_PER_SECOND);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// Runs on a thread whose stack holds the guest's. A panic there is our failure, not the caller's end.
fn on_own_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, SandboxError> {
    let step = |source| SandboxError::Step { step: "wasm thread", source };
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("wasm".into()).stack_size(THREAD_STACK);
        let worker = builder.spawn_scoped(scope, work).map_err(step)?;
        worker.join().map_err(|_| step(io::Error::other("the engine panicked")))
    })
}

/// One per process: the engine, the calls it links and the modules it has compiled.
struct Runtime {
    engine: Engine,
    linker: Linker<Host>,
    cache: Mutex<Cache>,
    ticker: Ticker,
}

/// A compiled module with its imports resolved, and the hash of its bytes.
#[derive(Clone)]
struct Prepared {
    hash: [u8; 32],
    instance: InstancePre<Host>,
}

impl Runtime {
    fn get() -> Result<&'static Runtime, SandboxError> {
        static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
        let runtime = RUNTIME.get_or_init(|| Runtime::new().map_err(|error| format!("{error:#}")));
        runtime.as_ref().map_err(|error| SandboxError::Step {
            step: "wasm engine",
            source: io::Error::other(error.clone()),
        })
    }

    fn new() -> wasmtime::Result<Runtime> {
        let mut config = Config::new();
        config
            .consume_fuel(true)
            .operator_cost(prices())
            .epoch_interruption(true)
            .max_wasm_stack(WASM_STACK)
            .async_stack_size(WASM_STACK) // no such stack is made, but it may not be the smaller one
            .wasm_backtrace_max_frames(None)
            // Results, and with them fuel, must not depend on the machine.
            .cranelift_nan_canonicalization(true)
            .relaxed_simd_deterministic(true)
            .wasm_multi_memory(false)
            // Calls that pass a thousand values in two bytes of code would multiply the compiler's work.
            .wasm_multi_value(false)
            .wasm_memory64(false);
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        wasi::define(&mut linker, &engine)?;
        Ok(Runtime { engine, linker, cache: Mutex::default(), ticker: Ticker::default() })
    }

    /// Compiles a module, or finds it compiled.
    fn prepare(&'static self, module: &[u8]) -> Result<Prepared, String> {
        if module.len() > Program::MAX_MODULE {
            let (is, may) = (module.len(), Program::MAX_MODULE);
            return Err(format!("the module has {is} bytes, more than the {may} allowed"));
        }
        let hash: [u8; 32] = Sha256::digest(module).into();
        let known = lock(&self.cache).find(&hash);
        let instance = match known {
            Some(instance) => instance,
            None => {
                let bytes = module.to_vec();
                let instance = within(COMPILE_TIME, move || self.compile(&bytes));
                lock(&self.cache).insert(hash, instance.clone(), module.len());
                instance
            }
        };
        instance.map(|instance| Prepared { hash, instance })
    }

    fn compile(&self, module: &[u8]) -> Instance {
        if !module.starts_with(b"\0asm") {
            return Err("not a WebAssembly module in binary form (it must begin with \\0asm)".into());
        }
        check_functions(module)?;
        let compiled = Module::from_binary(&self.engine, module).map_err(|error| format!("{error:#}"))?;
        let start = compiled.get_export("_start").and_then(|export| export.func().cloned());
        if !start.is_some_and(|start| start.params().len() == 0 && start.results().len() == 0) {
            return Err("the module exports no function `_start` without parameters and results; \
                        build it as a WASI command"
                .into());
        }
        self.linker.instantiate_pre(&compiled).map_err(|error| format!("{error:#}"))
    }

    /// Runs once; `backstop` is the host's CPU time after which the run is interrupted.
    fn run(
        &'static self,
        prepared: &Prepared,
        args: &[String],
        stdin: &[u8],
        limits: &Limits,
        backstop: Duration,
    ) -> Result<Outcome, SandboxError> {
        let fuel = fuel_of(limits.cpu_time);
        let host = Host {
            memory: Budget::new(limits.memory),
            wasi: Wasi::new(args, stdin, limits, fuel, seed(&prepared.hash, args, stdin)),
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
        let ticking = self.ticker.start(&self.engine)?;
        let ended = prepared.instance.instantiate(&mut store).and_then(|instance| {
            instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
        });
        drop(ticking);

        let left = store.get_fuel().map_err(engine_failed)?;
        let Host { memory, wasi } = store.into_data();
        let termination = termination(ended, &memory)?;
        let [stdout, stderr] = wasi.written;
        let usage = Usage {
            cpu_time: time_of(fuel - left),
            wall_time: started.elapsed().saturating_add(wasi.slept),
            peak_memory: memory.used,
        };
        Ok(Outcome { termination, stdout, stderr, usage, refused: false })
    }
}

/// One unit for each instruction, none for those that only name a value: constants and reads of locals become
/// operands of the instruction that uses them.
fn prices() -> OperatorCost {
    OperatorCost {
        LocalGet: 0,
        I32Const: 0,
        I64Const: 0,
        F32Const: 0,
        F64Const: 0,
        ..OperatorCost::default()
    }
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
    SandboxError::Step { step: "wasm engine", source: io::Error::other(format!("{error:#}")) }
}

/// Seeds everything random a guest can see.
fn seed(module: &[u8; 32], args: &[String], stdin: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new().chain_update(module);
    for arg in args {
        hasher = hasher.chain_update(arg).chain_update([0]);
    }
    hasher.chain_update([1]).chain_update(stdin).finalize().into()
}

fn thread_cpu_time() -> Duration {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(Duration::ZERO, |usage| {
        let micros = |time: nix::sys::time::TimeVal| {
            u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0)
        };
        Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
    })
}

/// Runs the compiler on a thread of its own, and leaves it behind when it has used up its CPU time.
fn within(limit: Duration, work: impl FnOnce() -> Instance + Send + 'static) -> Instance {
    let (sender, receiver) = mpsc::channel();
    let (tid_sender, tid) = mpsc::channel();
    let work = move || {
        let _ = tid_sender.send(gettid());
        let _ = sender.send(work());
    };
    let builder = thread::Builder::new().name("wasm-compile".into()).stack_size(THREAD_STACK);
    builder.spawn(work).map_err(|error| format!("the compiler did not start: {error}"))?;
    let tid = tid.recv().map_err(|_| "the compiler did not start")?;
    loop {
        match receiver.recv_timeout(EPOCH) {
            Ok(instance) => return instance,
            Err(RecvTimeoutError::Disconnected) => return Err("the compiler broke on the module".into()),
            Err(RecvTimeoutError::Timeout) if cpu_time_of(tid) > limit => {
                return Err(format!("the module takes more than {} s to compile", limit.as_secs_f64()));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// CPU time of a thread of this process, by the scheduler's own account; zero when it has just ended.
fn cpu_time_of(thread: Pid) -> Duration {
    let account = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap_or_default();
    let nanoseconds = account.split(' ').next().and_then(|figure| figure.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Refuses functions the compiler would take too long over, by the section headers alone. Where those do not
/// parse, the engine's own parser says why.
fn check_functions(module: &[u8]) -> Result<(), String> {
    let lengths = function_lengths(module).unwrap_or_default();
    if let Some(length) = lengths.iter().max().filter(|&&length| length > MAX_FUNCTION) {
        return Err(format!("a function of {length} bytes, more than the {MAX_FUNCTION} allowed"));
    }
    let squares = lengths.iter().map(|length| length * length).fold(0, u64::saturating_add);
    if squares > MAX_SQUARES {
        return Err("too many long functions to compile; split them or turn inlining down".into());
    }
    Ok(())
}

fn function_lengths(module: &[u8]) -> Option<Vec<u64>> {
    const CODE_SECTION: u8 = 10;
    let mut rest = module.get(8..)?;
    while let Some((&id, after)) = rest.split_first() {
        let (size, after) = leb128(after)?;
        let section = after.get(..size)?;
        if id == CODE_SECTION {
            return body_lengths(section);
        }
        rest = &after[size..];
    }
    Some(Vec::new())
}

fn body_lengths(section: &[u8]) -> Option<Vec<u64>> {
    let (count, mut rest) = leb128(section)?;
    let mut lengths = Vec::new();
    for _ in 0..count {
        let (size, body) = leb128(rest)?;
        lengths.push(size as u64);
        rest = body.get(size..)?;
    }
    Some(lengths)
}

/// An unsigned number of at most 32 bits, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value: u64 = 0;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

/// Linear memory and tables against `Limits::memory`; nothing a guest has grown ever shrinks.
#[derive(Debug)]
struct Budget {
    limit: u64,
    used: u64,
    /// Whether a growth was refused that the module's own maximum would have allowed.
    refused: bool,
    /// The growth allowed last, in case the host then cannot do it.
    last: u64,
}

impl Budget {
    fn new(limit: u64) -> Budget {
        Budget { limit, used: 0, refused: false, last: 0 }
    }

    fn grow(&mut self, more: usize, within_maximum: bool) -> bool {
        let more = more as u64;
        let fits = self.used.checked_add(more).is_some_and(|used| used <= self.limit);
        if fits {
            self.used += more;
            self.last = more;
        } else if within_maximum {
            self.refused = true;
        }
        fits
    }

    fn give_back(&mut self) {
        self.used -= self.last;
        self.last = 0;
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current), maximum.is_none_or(|maximum| desired <= maximum)))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.give_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT);
        Ok(self.grow(bytes, maximum.is_none_or(|maximum| desired <= maximum)))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.give_back();
        Ok(())
    }
}

/// A compiled module with its imports resolved, or why it is refused.
type Instance = Result<InstancePre<Host>, String>;

/// The modules used last, newest at the end, each with its hash and its size in bytes.
#[derive(Default)]
struct Cache {
    entries: Vec<([u8; 32], Instance, usize)>,
}

impl Cache {
    fn find(&mut self, hash: &[u8; 32]) -> Option<Instance> {
        let index = self.entries.iter().position(|(other, ..)| other == hash)?;
        let entry = self.entries.remove(index);
        let instance = entry.1.clone();
        self.entries.push(entry);
        Some(instance)
    }

    fn insert(&mut self, hash: [u8; 32], instance: Instance, size: usize) {
        self.entries.retain(|(other, ..)| *other != hash);
        self.entries.push((hash, instance, size));
        let over = |entries: &[(_, _, usize)]| {
            let bytes: usize = entries.iter().map(|(.., size)| size).sum();
            entries.len() > CACHED_MODULES || bytes > CACHED_BYTES
        };
        while self.entries.len() > 1 && over(&self.entries) {
            drop(self.entries.remove(0));
        }
    }
}

/// The thread that moves the epoch on while runs are going; it sleeps for good while none are.
#[derive(Default)]
struct Ticker {
    running: Mutex<usize>,
    wake: Condvar,
    thread: OnceLock<Result<(), String>>,
}

impl Ticker {
    fn start(&'static self, engine: &Engine) -> Result<Ticking, SandboxError> {
        let started = self.thread.get_or_init(|| {
            let engine = engine.clone();
            let tick = move || self.tick(&engine);
            let builder = thread::Builder::new().name("wasm-epoch".into());
            builder.spawn(tick).map(drop).map_err(|error| error.to_string())
        });
        if let Err(error) = started {
            return Err(SandboxError::Step { step: "wasm epoch", source: io::Error::other(error.clone()) });
        }
        *lock(&self.running) += 1;
        self.wake.notify_one();
        Ok(Ticking(self))
    }

    fn tick(&self, engine: &Engine) {
        loop {
            let running = lock(&self.running);
            drop(self.wake.wait_while(running, |running| *running == 0));
            thread::sleep(EPOCH);
            engine.increment_epoch();
        }
    }
}

/// A run that is going.
struct Ticking(&'static Ticker);

impl Drop for Ticking {
    fn drop(&mut self) {
        *lock(&self.0.running) -= 1;
    }
}

/// A lock whose data stays good even if a holder panicked: every update above is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
