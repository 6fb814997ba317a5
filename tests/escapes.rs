//! The attacks of `escapes/`, each a program that tries to get out, to break its limits or to spoil the next run.
//! Every one is tried in every tier that this host can offer. Its first lines are comments that say:
//!
//! ```text
//! # What it tries.
//! # expect: exited 0 | signaled 9      how it must end; `refused` is by the compiler
//! # expect CD: process_limit           how it must end in these tiers instead
//! # not held D: why                    what it tries succeeds there, as DESIGN.md says: it must print ESCAPED
//! # input: 1000                        so many bytes of input; none otherwise
//! @repeat 1000 TEXT                     stands for the text so often, in one line
//! @lines 1000 TEXT                      or in lines
//! ```
//!
//! A program that gets anywhere prints ESCAPED. After each attack innocent programs run on the same slot, and neither
//! their answers nor what they use may show that an attack came before; then no process, descriptor, mount, control
//! group or ipc object may be there that was not before all attacks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use assay_sandbox::{
    Executable, Lack, Language, Limits, Prepared, Program, Sandbox, SandboxConfig, SandboxError, Termination,
};
use libtest_mimic::{Arguments, Failed, Trial};

/// Fewer files than this means that some were lost.
const LEAST: usize = 90;
/// How long what is being taken down may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a tier lacks that the host may have, and how its tests are called.
const WAYS: [(&str, &[Lack]); 3] = [
    ("host", &[]),
    ("no_groups", &[Lack::Groups]),
    ("container", &[Lack::Groups, Lack::Namespaces, Lack::Users]),
];

/// A program for each runtime that attacks are written for.
const RUNTIMES: [(&str, &str); 2] =
    [("javascript", ""), ("java", "class Main { public static void main(String[] a) {} }")];

/// One tier.
struct Arena {
    sandbox: Sandbox,
    tier: char,
    innocents: Vec<(Executable, &'static str)>,
    /// Languages this host has no tools for, and why.
    lacks: BTreeMap<Language, String>,
    /// The process all others of this sandbox descend from.
    spawner: u32,
    /// What is there when nothing runs.
    quiet: Traces,
    /// One attack at a time, so that the innocent runs come right after it.
    turn: Mutex<()>,
}

/// What an attack's first lines say.
#[derive(Debug, PartialEq, Eq)]
struct Case {
    ends: BTreeSet<String>,
    held: bool,
    input: usize,
}

fn main() {
    assay_sandbox::init();
    let arguments = Arguments::from_args();
    let descriptors = count("/proc/self/fd");
    // Started by the first test that needs it: listing tests starts nothing.
    let arenas = WAYS.map(|_| Arc::<OnceLock<Arena>>::default());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escapes");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("tests/escapes").map(|entry| entry.expect("an entry").path()).collect();
    // Modules are `escapes_wasm.rs`'s.
    files.retain(|file| file.extension().is_some_and(|extension| extension != "wat"));
    files.sort();
    assert!(files.len() >= LEAST, "only {} attacks", files.len());
    let named = files.clone();
    let mut trials = vec![
        Trial::test("first_lines_are_read_by_tier", reads_first_lines),
        Trial::test("what_is_not_held_stands_in_the_design", move || design_names(&named)),
    ];
    for file in files {
        for ((way, lacks), arena) in WAYS.iter().zip(&arenas) {
            let (file, arena, host) = (file.clone(), Arc::clone(arena), Arc::clone(&arenas[0]));
            let name = format!("{way}::{}", file.file_name().expect("a name").to_string_lossy());
            let trial = move || {
                let host = || host.get_or_init(|| Arena::open(WAYS[0].1));
                attack(arena.get_or_init(|| Arena::open(lacks)), host, &file)
            };
            trials.push(Trial::test(name, trial));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(arenas);
    assert!(family(std::process::id()).is_empty(), "processes are left when the sandboxes are gone");
    assert_eq!(count("/proc/self/fd"), descriptors, "descriptors are left when the sandboxes are gone");
    conclusion.exit();
}

impl Arena {
    /// One slot: the innocent programs get the attacked one, or the one that replaced it.
    fn open(lacks: &[Lack]) -> Arena {
        // One at a time: the new child is this sandbox's spawner.
        static OPENING: Mutex<()> = Mutex::new(());
        let _opening = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        let before = children(std::process::id());
        let config = SandboxConfig { slots: 1, without: lacks.to_vec(), ..SandboxConfig::default() };
        let sandbox = Sandbox::start(&config).expect("a sandbox");
        let spawner = children(std::process::id()).into_iter().find(|pid| !before.contains(pid));
        // The second has an interpreter of its own where numpy is named, installed or not; native programs have a
        // process that starts them.
        let python = |more| {
            let source = format!("import os; print(6 * 7, os.listdir('.'), os.getpid()) {more}");
            (Language::Python3, source, "42 ['main.py'] ")
        };
        let native = "#include <cstdio>\n#include <unistd.h>\nint main() { printf(\"42 %d\", getpid()); }";
        let native = (Language::Cpp17, native.to_string(), "42 ");
        let innocents = [python(""), python("# numpy"), native].into_iter();
        let innocents =
            innocents.filter_map(|(language, source, output)| match prepare(&sandbox, language, &source) {
                Ok(Prepared::Ready(executable)) => Some((executable, output)),
                Err(SandboxError::Unavailable(_)) if language == Language::Cpp17 => None,
                other => panic!("{other:?}"),
            });
        let innocents = innocents.collect();
        let mut arena = Arena {
            tier: sandbox.tier().expect("a tier").name().chars().next().expect("a letter"),
            spawner: spawner.expect("a spawner"),
            sandbox,
            innocents,
            lacks: BTreeMap::new(),
            quiet: Traces::default(),
            turn: Mutex::default(),
        };
        arena.check_innocents().expect("innocent runs before all attacks");
        // Each of these has slots of its own.
        for (name, source) in RUNTIMES {
            let language = Language::from_name(name).expect("a language");
            match arena.sandbox.prepare(&Program::new(language, source), &Limits::COMPILE) {
                Ok(Prepared::Ready(program)) => {
                    let outcome = arena.sandbox.run(&program, b"", &limits()).expect("a run");
                    assert_eq!(outcome.termination, Termination::Exited(0), "{outcome:?}");
                }
                Ok(Prepared::Refused(outcome)) => panic!("{name}: {outcome:?}"),
                Err(error) => _ = arena.lacks.insert(language, error.to_string()),
            }
        }
        arena.quiet = Traces::of(arena.spawner);
        arena
    }

    fn take_turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A native program for another tier; none if the compiler refuses it, or is not there.
    fn compile(&self, source: &str) -> Result<Option<Executable>, Failed> {
        let _turn = self.take_turn();
        match prepare(&self.sandbox, Language::Cpp17, source) {
            Ok(Prepared::Ready(executable)) => Ok(Some(executable)),
            Ok(Prepared::Refused(_)) | Err(SandboxError::Unavailable(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Nothing of an attack may show in the next runs.
    fn check_innocents(&self) -> Result<(), Failed> {
        for (innocent, output) in &self.innocents {
            let outcome = self.sandbox.run(innocent, b"", &limits())?;
            let stdout = String::from_utf8_lossy(&outcome.stdout);
            let number = stdout.strip_prefix(output).map(str::trim);
            let alone = number == Some("2") || (number.is_some() && self.tier == 'D');
            let same = outcome.termination == Termination::Exited(0) && alone;
            let usage = outcome.usage;
            let frugal = usage.cpu_time < Duration::from_millis(500) && usage.peak_memory < 64 << 20;
            if !(same && frugal) {
                return Err(format!("the next run was not left alone: {outcome:?}").into());
            }
        }
        Ok(())
    }

    /// Nothing of an attack may be left. A slot that was thrown away takes a moment to be gone.
    fn check_traces(&self) -> Result<(), Failed> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let more = Traces::of(self.spawner).beyond(&self.quiet);
            if more.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("left behind: {more:?}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A second of CPU, three idle, and what a judge gives besides.
fn limits() -> Limits {
    Limits {
        cpu_time: Duration::from_secs(1),
        wall_time: Duration::from_secs(3),
        output: 16 << 20,
        ..Limits::DEFAULT
    }
}

/// Where there is no compiler, a native program comes from the host's.
fn attack<'a>(arena: &Arena, host: impl Fn() -> &'a Arena, file: &Path) -> Result<(), Failed> {
    let source = fs::read_to_string(file)?;
    let case = Case::read(&source, arena.tier)?;
    let source = unfold(&source)?;
    if source.len() > Program::MAX_SOURCE {
        return Err(format!("{} bytes are more than a source may have", source.len()).into());
    }
    let extension = file.extension().and_then(|extension| extension.to_str()).ok_or("no extension")?;
    let language = Language::from_extension(extension).ok_or("the extension says no language")?;
    if let Some(why) = arena.lacks.get(&language) {
        println!("{} had nothing to attack: {why}", file.display());
        return Ok(());
    }
    let mut turn = arena.take_turn();
    let prepared = match prepare(&arena.sandbox, language, &source) {
        Err(SandboxError::Unavailable(_)) if language == Language::Cpp17 && arena.tier == 'D' => {
            drop(turn);
            let prepared = host().compile(&source);
            turn = arena.take_turn();
            match prepared? {
                Some(executable) => Prepared::Ready(executable),
                // Nothing that could run here.
                None => return Ok(()),
            }
        }
        other => other?,
    };
    let (end, outcome) = match prepared {
        Prepared::Refused(outcome) => ("refused".to_string(), outcome),
        Prepared::Ready(executable) => {
            let outcome = arena.sandbox.run(&executable, &vec![b'x'; case.input], &limits())?;
            (name(outcome.termination), outcome)
        }
    };
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    let escaped = stdout.contains("ESCAPED") || stderr.contains("ESCAPED:");
    if escaped == case.held {
        let verdict = if escaped { "got out" } else { "is held: the line `not held` can go" };
        return Err(format!("tier {}: {verdict}: {stdout}{stderr}", arena.tier).into());
    }
    if !case.ends.contains(&end) {
        let (stderr, ends) = (stderr.chars().take(500).collect::<String>(), &case.ends);
        return Err(format!("tier {}: {end}, expected {ends:?}; stderr: {stderr}", arena.tier).into());
    }
    arena.check_innocents()?;
    let traces = arena.check_traces();
    drop(turn);
    traces
}

fn prepare(sandbox: &Sandbox, language: Language, source: &str) -> Result<Prepared, SandboxError> {
    sandbox.prepare(&Program::new(language, source), &Limits::COMPILE)
}

impl Case {
    /// What the first lines say for this tier.
    fn read(source: &str, tier: char) -> Result<Case, Failed> {
        let mut case = Case { ends: BTreeSet::new(), held: true, input: 0 };
        let lines = source.lines().map_while(|line| line.strip_prefix("# ").or(line.strip_prefix("// ")));
        let mut chosen = false;
        for line in lines.skip(1) {
            let (key, value) = line.split_once(':').ok_or_else(|| format!("no `key: value`: {line}"))?;
            let (key, tiers) = key.rsplit_once(' ').unwrap_or((key, ""));
            let meant = tiers.contains(tier);
            match (key, tiers) {
                ("expect", "") if chosen => {}
                ("expect", "") => case.ends = ends(value),
                ("expect", _) => {
                    if meant {
                        (case.ends, chosen) = (ends(value), true);
                    }
                }
                ("not held", _) if !tiers.is_empty() && !value.trim().is_empty() => case.held &= !meant,
                ("input", "") => case.input = value.trim().parse()?,
                _ => return Err(format!("unknown: {line}").into()),
            }
        }
        if case.ends.is_empty() { Err("no line says what to expect".into()) } else { Ok(case) }
    }
}

/// Writes out what is said to be repeated.
fn unfold(source: &str) -> Result<String, Failed> {
    let mut whole = String::new();
    for line in source.lines() {
        let (text, end) = match (line.strip_prefix("@repeat "), line.strip_prefix("@lines ")) {
            (Some(text), _) => (text, ""),
            (_, Some(text)) => (text, "\n"),
            _ => {
                whole += line;
                whole.push('\n');
                continue;
            }
        };
        let (times, text) = text.split_once(' ').ok_or("a number and a text must follow")?;
        whole += &format!("{text}{end}").repeat(times.parse()?);
        whole.push('\n');
    }
    Ok(whole)
}

fn ends(value: &str) -> BTreeSet<String> {
    value.split('|').map(|end| end.trim().to_string()).collect()
}

fn reads_first_lines() -> Result<(), Failed> {
    let source = "# Tries.\n# expect: exited 0 | signaled 9\n# expect CD: refused\n# not held D: no wall\n# input: 7\nx";
    let case =
        |ends: &[&str], held| Case { ends: ends.iter().map(|e| e.to_string()).collect(), held, input: 7 };
    for (tier, wanted) in [
        ('B', case(&["exited 0", "signaled 9"], true)),
        ('C', case(&["refused"], true)),
        ('D', case(&["refused"], false)),
    ] {
        assert_eq!(Case::read(source, tier)?, wanted, "{tier}");
    }
    for broken in
        ["# Tries.\nx", "# Tries.\n# expects: exited 0", "# T\n# expect: exited 0\n# not held D:", "# T\n# x"]
    {
        assert!(Case::read(broken, 'B').is_err(), "{broken}");
    }
    Ok(())
}

/// The table of the design names every attack that some tier does not hold.
fn design_names(files: &[PathBuf]) -> Result<(), Failed> {
    let design = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("sandbox/DESIGN.md"))?;
    for file in files {
        let not_held = fs::read_to_string(file)?.lines().any(|line| line.contains("not held "));
        let name = file.file_name().expect("a name").to_string_lossy();
        if not_held != design.contains(&format!("| `{name}`:")) {
            return Err(format!("{name}: the table of what tiers do not hold says otherwise").into());
        }
    }
    Ok(())
}

fn name(termination: Termination) -> String {
    match termination {
        Termination::Exited(code) => format!("exited {code}"),
        Termination::Signaled(number) => format!("signaled {number}"),
        Termination::CpuTimeLimit => "cpu_time_limit".into(),
        Termination::WallTimeLimit => "wall_time_limit".into(),
        Termination::MemoryLimit => "memory_limit".into(),
        Termination::OutputLimit => "output_limit".into(),
        Termination::ProcessLimit => "process_limit".into(),
        Termination::ForbiddenSyscall => "forbidden_syscall".into(),
        Termination::BrokeSlots => "broke_slots".into(),
    }
}

/// What there is of one sandbox, counted.
#[derive(Debug, Default)]
struct Traces(BTreeMap<String, usize>);

impl Traces {
    /// Processes by name, and of those with one name the most descriptors and mounts (where they may be read), control
    /// groups, and ipc objects in our own namespace, which is the slots' where nothing else separates them.
    fn of(spawner: u32) -> Traces {
        let mut counts = BTreeMap::new();
        for pid in family(spawner) {
            let name = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let name = name.split('\0').next().unwrap_or_default();
            *counts.entry(format!("processes {name}")).or_default() += 1;
            let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            for (what, number) in
                [("descriptors", count(&format!("/proc/{pid}/fd"))), ("mounts", mounts.lines().count())]
            {
                let most: &mut usize = counts.entry(format!("{what} {name}")).or_default();
                *most = number.max(*most);
            }
        }
        for kind in ["msg", "sem", "shm"] {
            let objects = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
            counts.insert(format!("ipc {kind}"), objects.lines().count());
        }
        counts.insert("groups".into(), groups(Path::new("/sys/fs/cgroup"), &format!("assay-{spawner}-")));
        Traces(counts)
    }

    /// What there is more of than `before`.
    fn beyond(&self, before: &Traces) -> Vec<String> {
        let more =
            self.0.iter().filter(|(what, number)| **number > before.0.get(*what).copied().unwrap_or(0));
        more.map(|(what, number)| format!("{number} {what}, before {:?}", before.0.get(what))).collect()
    }
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks.map(of_task).flat_map(|text| numbers(&text)).collect()
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// All descendants.
fn family(pid: u32) -> Vec<u32> {
    children(pid).into_iter().flat_map(|child| [vec![child], family(child)].concat()).collect()
}

/// How many control groups have a name that begins so.
fn groups(folder: &Path, prefix: &str) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .map(|entry| {
            let ours = entry.file_name().to_string_lossy().starts_with(prefix);
            usize::from(ours) + groups(&entry.path(), prefix)
        })
        .sum()
}
