//! The attacks of `escapes/*.wat`: modules that try to get out of the WebAssembly engine, to break its limits or to spoil
//! the next run. Tier W, which every host has, and the same engine as in all others. The first lines of a file say what
//! it tries and how it must end, as those of the other attacks (`escapes.rs`) do, and what files it is shown, if any; `<<1000: text>>` stands for the text a
//! thousand times. A module that gets anywhere prints ESCAPED.
//!
//! Every attack runs twice and must do the same to the byte and to the unit of fuel, so what it could learn of the host
//! or of an earlier run shows. After each, an innocent module runs in the same slot and must do what it did before all
//! attacks; then no process, thread or descriptor may be there that was not.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use assay_sandbox::{
    Executable, InputFile, Judge, Lack, Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxConfig,
    Termination, Tier,
};
use libtest_mimic::{Arguments, Failed, Trial};

/// Fewer files than this means that some were lost.
const LEAST: usize = 30;
/// How long a thread that was joined may still be listed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Grows, writes all its memory, prints its random bytes and what the clock says.
const INNOCENT: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\18\00\00\00")
    (func (export "_start")
        (drop (memory.grow (i32.const 10)))
        (memory.fill (i32.const 64) (i32.const 7) (i32.const 700000))
        (drop (call $random (i32.const 16) (i32.const 16)))
        (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 32)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

struct Arena {
    sandbox: Sandbox,
    innocent: Executable,
    usual: Facts,
    quiet: [usize; 3],
}

/// What must repeat of an outcome.
type Facts = (Termination, u64, u64, Vec<u8>, Vec<u8>);

fn main() {
    assay_sandbox::init();
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escapes");
    let entries = fs::read_dir(folder).expect("tests/escapes").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "wat")).collect();
    files.sort();
    assert!(files.len() >= LEAST, "only {} attacks", files.len());
    // One attack at a time, so that the innocent run comes right after it.
    let arena: Arc<OnceLock<Mutex<Arena>>> = Arc::default();
    let trials = files.into_iter().map(|file| {
        let arena = Arc::clone(&arena);
        let name = format!("wasm::{}", file.file_name().expect("a name").to_string_lossy());
        Trial::test(name, move || {
            let arena = arena.get_or_init(|| Mutex::new(Arena::open()));
            arena.lock().unwrap_or_else(PoisonError::into_inner).attack(&file)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

impl Arena {
    /// One slot: the innocent module gets the attacked one.
    fn open() -> Arena {
        let without = vec![Lack::Walls];
        let config = SandboxConfig { slots: 1, tier: Some(Tier::W), without, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(&config).expect("tier W");
        let innocent = prepare(&sandbox, INNOCENT).expect("text").expect("the innocent module");
        let usual = facts(sandbox.run(&innocent, b"", &limits()).expect("a run"));
        assert_eq!((usual.0, usual.3.len()), (Termination::Exited(0), 24));
        Arena { sandbox, innocent, usual, quiet: traces() }
    }

    fn attack(&self, file: &Path) -> Result<(), Failed> {
        let source = fs::read_to_string(file)?;
        let ends = expected(&source)?;
        let files = shown(&source)?;
        let mut first = None;
        for _ in 0..2 {
            let (end, outcome) = match prepare(&self.sandbox, &expand(&source)?)? {
                Err(outcome) => ("refused".to_string(), outcome),
                Ok(executable) => {
                    let outcome = self.run(&executable, &files)?;
                    (name(outcome.termination), outcome)
                }
            };
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&outcome.stdout),
                String::from_utf8_lossy(&outcome.stderr)
            );
            let said: String = said.chars().take(500).collect();
            if said.contains("ESCAPED") {
                return Err(format!("got out: {said}").into());
            }
            if !ends.contains(&end) {
                return Err(format!("ended with {end}, expected one of {ends:?}: {said}").into());
            }
            let facts = facts(outcome);
            if *first.get_or_insert_with(|| facts.clone()) != facts {
                return Err(format!("ran differently the second time: {:?}", (end, facts.1, facts.2)).into());
            }
            self.check_innocent()?;
        }
        self.check_traces()
    }

    /// As a program under test, or as a judge's where it is shown files.
    fn run(&self, executable: &Executable, files: &[InputFile<'_>]) -> Result<Outcome, Failed> {
        let limits = limits();
        Ok(match files {
            [] => self.sandbox.run(executable, b"input", &limits)?,
            _ => self.sandbox.check(&Judge { executable, args: &[], files, limits: &limits }, b"input")?,
        })
    }

    /// Nothing of the attack may show in the next run.
    fn check_innocent(&self) -> Result<(), Failed> {
        let facts = facts(self.sandbox.run(&self.innocent, b"", &limits())?);
        if facts == self.usual {
            return Ok(());
        }
        Err(format!("the next run was not left alone: {facts:?}, before: {:?}", self.usual).into())
    }

    /// Nothing of the attack may be left.
    fn check_traces(&self) -> Result<(), Failed> {
        let deadline = Instant::now() + PATIENCE;
        while traces().iter().zip(&self.quiet).any(|(now, before)| now > before) {
            if Instant::now() > deadline {
                return Err(format!(
                    "threads, descriptors, children: {:?}, before {:?}",
                    traces(),
                    self.quiet
                )
                .into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Threads, descriptors and children of this process. A compiled module that is kept keeps its memory's image.
fn traces() -> [usize; 3] {
    let entries = |folder: &str| fs::read_dir(folder).into_iter().flatten().flatten();
    let target = |entry: &fs::DirEntry| fs::read_link(entry.path()).unwrap_or_default();
    let is_image = |entry: &fs::DirEntry| target(entry).to_string_lossy().contains("wasm-memory-image");
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let children = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let children = children.map(|text| text.split_whitespace().count()).sum();
    let descriptors = entries("/proc/self/fd").filter(|entry| !is_image(entry)).count();
    [entries("/proc/self/task").count(), descriptors, children]
}

/// A fiftieth of a second of fuel, two seconds of sleep, sixteen megabytes.
fn limits() -> Limits {
    Limits {
        cpu_time: Duration::from_millis(20),
        wall_time: Duration::from_secs(2),
        memory: 16 << 20,
        output: 1 << 20,
        ..Limits::DEFAULT
    }
}

fn prepare(sandbox: &Sandbox, text: &str) -> Result<Result<Executable, Outcome>, Failed> {
    let limits = Limits { cpu_time: Duration::from_secs(2), ..Limits::COMPILE };
    let module = wat::parse_str(text).map_err(|error| error.to_string())?;
    Ok(match sandbox.prepare(&Program::new(Language::Wasm, module), &limits)? {
        Prepared::Ready(executable) => Ok(executable),
        Prepared::Refused(outcome) => Err(outcome),
    })
}

fn facts(outcome: Outcome) -> Facts {
    let usage = outcome.usage;
    (outcome.termination, usage.fuel, usage.peak_memory, outcome.stdout, outcome.stderr)
}

/// The ends named in the second line.
fn expected(source: &str) -> Result<Vec<String>, Failed> {
    let line = source.lines().nth(1).and_then(|line| line.strip_prefix(";; expect:"));
    let ends = line.ok_or("the second line must say what to expect")?;
    Ok(ends.split('|').map(|end| end.trim().to_string()).collect())
}

/// The files named in the third line, if it names any: `NAME=TEXT`, with a blank between two.
fn shown(source: &str) -> Result<Vec<InputFile<'_>>, Failed> {
    let line = source.lines().nth(2).and_then(|line| line.strip_prefix(";; files: "));
    let mut files = Vec::new();
    for file in line.unwrap_or_default().split_whitespace() {
        let (name, text) = file.split_once('=').ok_or("no = in a file")?;
        files.push(InputFile { name, bytes: text.as_bytes() });
    }
    Ok(files)
}

/// Writes out what stands for repetition.
fn expand(source: &str) -> Result<String, Failed> {
    let mut expanded = String::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("<<") {
        let (repeated, after) = after.split_once(">>").ok_or("no >> for a <<")?;
        let (times, text) = repeated.split_once(':').ok_or("no number of times")?;
        expanded += before;
        expanded += &text.repeat(times.parse()?);
        rest = after;
    }
    Ok(expanded + rest)
}

fn name(termination: Termination) -> String {
    match termination {
        Termination::Exited(code) => format!("exited {code}"),
        Termination::Signaled(number) => format!("signaled {number}"),
        Termination::CpuTimeLimit => "cpu_time_limit".into(),
        Termination::WallTimeLimit => "wall_time_limit".into(),
        Termination::MemoryLimit => "memory_limit".into(),
        Termination::OutputLimit => "output_limit".into(),
        other => format!("{other:?}"),
    }
}
