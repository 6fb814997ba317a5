//! What must hold on a busy machine and when processes die: verdicts are those of an idle one, deaths of ours are never
//! verdicts, and a program that brings them about is found out.
//!
//! Each check runs in a process of its own, one after the other: they load the machine and kill what is below them.
//! Sizes are (ordinary, with `ASSAY_LONG` set); `.ci/long` sets it.

mod processes;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::parent_id;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use assay_sandbox::Termination::{self, BrokeSlots, CpuTimeLimit, Exited, MemoryLimit, WallTimeLimit};
use assay_sandbox::{
    Executable, Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxConfig, SandboxError,
};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use processes::{family, name_of};

const CHECKS: &[(&str, fn())] = &[
    ("programs_below_the_limit_stay_below_it", below),
    ("programs_above_the_limit_are_above_it", above),
    ("work_of_half_the_limit_fits_under_load", fixed_work),
    ("sleepers_end_at_the_idle_limit", sleepers),
    ("a_program_that_waits_for_a_core_is_not_idle", starved),
    ("a_program_that_the_kernel_holds_up_is_not_idle", held_up),
    ("a_near_miss_on_a_busy_machine_is_run_again", near_miss),
    ("an_endless_loop_is_not", endless),
    ("kills_at_random_spoil_no_verdict", random_kills),
    ("a_program_whose_slots_break_is_at_fault", slot_killer),
    ("a_program_whose_slots_broke_by_accident_is_not", accidents),
    ("where_every_slot_breaks_nobody_is_at_fault", broken_machine),
    ("a_stopped_slot_is_given_up", stopped_slot),
    ("a_killed_compiler_refuses_nothing", killed_compiler),
    ("memory_stays_flat", flat_memory),
];
const ROLE: &str = "__check";
const NEIGHBOUR: &str = "__neighbour";

fn main() -> ExitCode {
    assay_sandbox::init();
    let process: Vec<String> = std::env::args().collect();
    match process.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, NEIGHBOUR] => return be_a_neighbour(),
        [_, ROLE, name] => {
            CHECKS.iter().find(|(known, _)| known == name).expect("a check").1();
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let trials = CHECKS.iter().map(|(name, _)| Trial::test(*name, || in_its_own_process(name)));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn in_its_own_process(name: &str) -> Result<(), Failed> {
    let output = Command::new(std::env::current_exe()?).args([ROLE, name]).output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

fn size<T>(ordinary: T, long: T) -> T {
    if std::env::var_os("ASSAY_LONG").is_some() { long } else { ordinary }
}

/// Four processes per core that never rest.
struct Neighbours(Vec<Child>);

impl Neighbours {
    fn start() -> Neighbours {
        let start = || Command::new("/proc/self/exe").arg(NEIGHBOUR).stdin(Stdio::null()).spawn();
        Neighbours((0..4 * cores()).map(|_| start().expect("a neighbour")).collect())
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn be_a_neighbour() -> ExitCode {
    let parent = parent_id();
    // A session of its own: where the kernel shares the cores out by sessions, all neighbours would count as one program.
    let _ = nix::unistd::setsid();
    while parent_id() == parent {
        (0..1_000_000u64).for_each(|number| _ = std::hint::black_box(number));
    }
    ExitCode::SUCCESS
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

const LIMIT: Duration = Duration::from_millis(500);

fn limits() -> Limits {
    Limits { cpu_time: LIMIT, ..Limits::DEFAULT }
}

/// Runs each program so many times under load; how the runs ended that did not end as wanted. In the long run four
/// sandboxes have as many programs in flight as there are neighbours: a run that is repeated alone is alone in its own.
fn flips(sources: &[String], rounds: usize, wanted: Termination) -> Vec<String> {
    let sandboxes: Vec<Sandbox> = (0..size(1, 4)).map(|_| sandbox(cores())).collect();
    let prepared = |sandbox| sources.iter().map(|source| prepare(sandbox, source)).collect();
    let programs: Vec<Vec<Executable>> = sandboxes.iter().map(prepared).collect();
    let (next, wrong, reruns) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
    let runs = sources.len() * rounds;
    let _neighbours = Neighbours::start();
    let started = Instant::now();
    let work = |sandbox: &Sandbox, programs: &[Executable]| {
        while let Some(run) = Some(next.fetch_add(1, Relaxed)).filter(|run| *run < runs) {
            let which = run % sources.len();
            let outcome = sandbox.run(&programs[which], b"", &limits()).expect("run");
            reruns.fetch_add(outcome.rerun.into(), Relaxed);
            if outcome.termination != wanted {
                wrong.lock().expect("a list").push(format!("{which}: {}", described(&outcome)));
            }
        }
    };
    std::thread::scope(|scope| {
        for (sandbox, programs) in sandboxes.iter().zip(&programs) {
            (0..cores()).for_each(|_| _ = scope.spawn(|| work(sandbox, programs)));
        }
    });
    println!("{runs} runs in {:.1?}, {} of them repeated alone", started.elapsed(), reruns.into_inner());
    wrong.into_inner().expect("a list")
}

fn spinner(share: f64) -> String {
    format!("import time\nwhile time.process_time() < {:.4}: pass", LIMIT.as_secs_f64() * share)
}

/// So many programs that spin until their own clock shows a share of the limit, from one to another.
fn spinners(count: usize, from: f64, to: f64) -> Vec<String> {
    (0..count).map(|index| spinner(from + (to - from) * index as f64 / (count - 1) as f64)).collect()
}

fn below() {
    let (programs, rounds) = size((10, 2), (40, 20));
    assert_eq!(flips(&spinners(programs, 0.5, 0.8), rounds, Exited(0)), [""; 0]);
}

fn above() {
    let (programs, rounds) = size((3, 2), (40, 20));
    let sources = vec![spinner(1.3); programs];
    assert_eq!(flips(&sources, rounds, CpuTimeLimit), [""; 0]);
}

/// Work that takes half the limit while the machine is as idle as it is takes less than the limit when it is busy.
fn fixed_work() {
    let (programs, rounds) = size((4, 2), (40, 20));
    let sandbox = sandbox(cores());
    let work =
        |steps: u64| format!("x = 1\nfor i in range({steps}): x = (x * 48271 + i) % 2147483647\nprint(x)");
    let steps = 2_000_000;
    let program = prepare(&sandbox, &work(steps));
    let took = (0..5).map(|_| sandbox.run(&program, b"", &Limits::DEFAULT).expect("run").usage.cpu_time);
    let half = (steps as f64 * 0.5 * LIMIT.as_secs_f64() / took.min().expect("five").as_secs_f64()) as u64;
    let sources: Vec<String> = (0..programs as u64).map(|index| work(half - index)).collect();
    assert_eq!(flips(&sources, rounds, Exited(0)), [""; 0]);
}

fn sleepers() {
    let sandbox = sandbox(4);
    let limits = Limits { wall_time: Duration::from_millis(800), ..Limits::DEFAULT };
    let sources = ["import time; time.sleep(60)", "import os; r, w = os.pipe(); os.read(r, 1)"];
    let programs = sources.map(|source| prepare(&sandbox, source));
    let _neighbours = Neighbours::start();
    for program in programs.iter().cycle().take(size(2, 40)) {
        let outcome = sandbox.run(program, b"", &limits).expect("run");
        assert_eq!(outcome.termination, WallTimeLimit, "{}", described(&outcome));
        assert!(outcome.usage.wall_time >= limits.wall_time, "{}", described(&outcome));
        // Idle time is wall time but for what it ran and waited; a sleeper hardly waits.
        assert!(outcome.usage.wall_time < limits.wall_time * 5, "{}", described(&outcome));
    }
}

/// The kernel adds a wait for a core to its count when the wait is over. Programs that got none for longer than their idle limit
/// were ended as idle, and told as idle to a caller, who ran more of them beside each other.
fn starved() {
    let sandbox = sandbox(1);
    let limits =
        Limits { wall_time: Duration::from_millis(200), cpu_time: Duration::from_secs(5), ..Limits::DEFAULT };
    let program = prepare(&sandbox, "import time\nwhile time.process_time() < 0.03: pass");
    run(&sandbox, "pass");
    let _neighbours = Neighbours::start();
    // Where the kernel shares the cores out by sessions, the slot's gets a small share; only root may say so.
    for slot in family(std::process::id()).into_iter().filter(|pid| name_of(*pid) == "assay: slot") {
        let _ = fs::write(format!("/proc/{slot}/autogroup"), "15");
    }
    for _ in 0..size(3, 20) {
        let outcome = sandbox.run(&program, b"", &limits).expect("run");
        assert_eq!(outcome.termination, Exited(0), "{}", described(&outcome));
    }
}

/// Where memory was short and a disk slow, a program that filled its memory stood still in the kernel for longer than its idle limit,
/// and was told as a sleeper. Whoever starts a thread as `vfork` starts a process is held up in the same way, where programs may
/// start no processes, too. Not for ever, though.
fn held_up() {
    let sandbox = sandbox(1);
    let limits = Limits { wall_time: Duration::from_millis(400), ..Limits::DEFAULT };
    for (millis, wanted) in [(1_000, Exited(0)), (60_000, WallTimeLimit)] {
        let source = format!(
            "#include <sched.h>\n#include <unistd.h>\nchar stack[1 << 16];\n\
             int sleeper(void *) {{ return usleep({millis} * 1000); }}\n\
             int main() {{\n\
             int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_VFORK;\n\
             return clone(sleeper, stack + sizeof stack, flags, nullptr) < 0;\n}}"
        );
        let program = Program::new(Language::Cpp17, source);
        let Ok(Prepared::Ready(program)) = sandbox.prepare(&program, &Limits::COMPILE) else {
            panic!("no compiler");
        };
        let outcome = sandbox.run(&program, b"", &limits).expect("run");
        assert_eq!(outcome.termination, wanted, "{}", described(&outcome));
        assert!(outcome.usage.wall_time >= Duration::from_secs(1), "{}", described(&outcome));
    }
}

fn near_miss() {
    let sandbox = sandbox(cores());
    let program = prepare(&sandbox, &spinner(1.2));
    let _neighbours = Neighbours::start();
    let mut missed = 0;
    for _ in 0..size(1, 20) {
        let mut outcome = sandbox.run(&program, b"", &limits()).expect("run");
        // Neighbours that are not on their way yet leave it a core.
        while !outcome.rerun && missed < 10 {
            assert_eq!(outcome.termination, CpuTimeLimit, "{}", described(&outcome));
            missed += 1;
            outcome = sandbox.run(&program, b"", &limits()).expect("run");
        }
        assert_eq!((outcome.termination, outcome.rerun), (CpuTimeLimit, true), "{}", described(&outcome));
        assert!(
            outcome.usage.cpu_time > LIMIT && outcome.usage.cpu_time < LIMIT * 3 / 2,
            "{}",
            described(&outcome)
        );
    }
}

/// What is still running at one and a half times its limit was never near it.
fn endless() {
    let sandbox = sandbox(cores());
    let program = prepare(&sandbox, "while True: pass");
    let _neighbours = Neighbours::start();
    for _ in 0..size(1, 20) {
        let outcome = sandbox.run(&program, b"", &limits()).expect("run");
        assert_eq!((outcome.termination, outcome.rerun), (CpuTimeLimit, false), "{}", described(&outcome));
        assert!(outcome.usage.cpu_time < LIMIT * 2, "{}", described(&outcome));
    }
}

/// Spawner, slot-inits, warm interpreters and anchors die all the time. A killed anchor takes its run along, which slot-init
/// once took for the program's own end by a signal. An interpreter that died after it had forked, and before
/// it said so, was replaced and made to fork again: two of the program printed into one output. A spawner that was
/// started anew took the death of its first slot-init for a wall that the host lacks, and gave slots of tier D from then on.
fn random_kills() {
    let sandbox = sandbox(4);
    type Change = fn(&mut Limits);
    let rows: [(&str, Change, Termination, &[u8]); 4] = [
        ("print(6 * 7)", |_| {}, Exited(0), b"42\n"),
        ("print('x'); raise SystemExit(3)", |_| {}, Exited(3), b"x\n"),
        ("while True: pass", |limits| limits.cpu_time = Duration::from_millis(100), CpuTimeLimit, b""),
        (
            "a = []\nwhile True: a.append(b'x' * (1 << 22))",
            |limits| limits.memory = 64 << 20,
            MemoryLimit,
            b"",
        ),
    ];
    let programs = rows.map(|(source, ..)| prepare(&sandbox, source));
    let over = Instant::now() + Duration::from_secs(size(6, 300));
    let ends: Mutex<BTreeMap<String, usize>> = Mutex::default();
    let killed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (sandbox, programs, rows, ends) = (&sandbox, &programs, &rows, &ends);
            scope.spawn(move || {
                let mut which = worker;
                while Instant::now() < over {
                    which = (which + 1) % rows.len();
                    let (_, change, termination, stdout) = rows[which];
                    let mut limits = Limits::DEFAULT;
                    change(&mut limits);
                    let end = match sandbox.run(&programs[which], b"", &limits) {
                        Ok(outcome) => {
                            let got = (outcome.termination, outcome.stdout.as_slice());
                            assert_eq!(got, (termination, stdout), "{}", described(&outcome));
                            format!("{termination:?}")
                        }
                        Err(SandboxError::Step { .. } | SandboxError::SlotBroke { .. }) => {
                            "our failure".to_string()
                        }
                        Err(other) => panic!("{other}"),
                    };
                    *ends.lock().expect("a table").entry(end).or_default() += 1;
                }
            });
        }
        scope.spawn(|| {
            let mut luck = 88_172_645_463_325_252u64;
            while Instant::now() < over {
                luck = (luck ^ luck << 13) ^ (luck ^ luck << 13) >> 7;
                luck ^= luck << 17;
                let victims = trusted();
                // A spawner that has no slots yet is let make some, or all that is ever tried is its start.
                if victims.len() > 1 {
                    killed.fetch_add(
                        strike(victims[luck as usize % victims.len()], Signal::SIGKILL).into(),
                        Relaxed,
                    );
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
    });
    let ends = ends.into_inner().expect("a table");
    println!("{} processes killed, runs ended {ends:?}", killed.into_inner());
    assert!(ends.keys().any(|end| end != "our failure"), "no run came to its end");
    // A spawner killed last is replaced at the next run.
    assert_eq!(run(&sandbox, "print(6 * 7)").stdout, b"42\n");
}

/// A program that says by its name that its slot shall die, and does not end by itself for long.
const MARKED: &str = "import ctypes, time\nctypes.CDLL(None).prctl(15, b'slotkiller', 0, 0, 0)\ntime.sleep(1.5)\nprint('alive')";

/// Kills the slot of every marked program, so many times at most, while `during` runs. Nothing known lets a program
/// break its slot; this does what one would do that could.
fn killing_marked<T>(most: usize, during: impl FnOnce() -> T) -> (T, usize) {
    let (over, killed) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            while !over.load(Relaxed) {
                for pid in family(std::process::id()) {
                    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                    if name.trim() == "slotkiller" && killed.load(Relaxed) < most {
                        let slot = parent_of(pid).filter(|slot| name_of(*slot) == "assay: slot");
                        let struck = slot.is_some_and(|slot| strike(slot, Signal::SIGKILL));
                        killed.fetch_add(struck.into(), Relaxed);
                        // Dead before it can be struck again.
                        while slot.is_some_and(|slot| !gone(slot)) {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let result = during();
        over.store(true, Relaxed);
        killer.join().expect("killer");
        (result, killed.load(Relaxed))
    })
}

fn slot_killer() {
    let sandbox = sandbox(3);
    let (marked, innocent) = (prepare(&sandbox, MARKED), prepare(&sandbox, "print(6 * 7)"));
    let over = AtomicBool::new(false);
    let beside = AtomicUsize::new(0);
    let (outcome, killed) = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    let outcome = sandbox.run(&innocent, b"", &Limits::DEFAULT).expect("run");
                    assert_eq!((outcome.termination, outcome.stdout.as_slice()), (Exited(0), &b"42\n"[..]));
                    beside.fetch_add(1, Relaxed);
                }
            });
        }
        let result = killing_marked(usize::MAX, || sandbox.run(&marked, b"", &Limits::DEFAULT));
        over.store(true, Relaxed);
        result
    });
    assert_eq!(outcome.expect("a verdict").termination, BrokeSlots);
    assert_eq!(killed, 5, "two slots, then three fresh ones");
    println!("{} innocent runs beside it", beside.into_inner());
    assert_eq!(run(&sandbox, "print(6 * 7)").stdout, b"42\n");
}

fn accidents() {
    let sandbox = sandbox(2);
    let marked = prepare(&sandbox, MARKED);
    for accidents in [1, 2, 4] {
        let (outcome, killed) = killing_marked(accidents, || sandbox.run(&marked, b"", &Limits::DEFAULT));
        let outcome = outcome.expect("a verdict");
        assert_eq!((outcome.termination, outcome.stdout.as_slice()), (Exited(0), &b"alive\n"[..]));
        assert_eq!(killed, accidents);
    }
}

/// Where programs of ours break their slots as well, the machine is at fault.
fn broken_machine() {
    let sandbox = sandbox(1);
    let marked = prepare(&sandbox, MARKED);
    let over = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                for slot in
                    family(std::process::id()).into_iter().filter(|pid| name_of(*pid) == "assay: slot")
                {
                    strike(slot, Signal::SIGKILL);
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let result = sandbox.run(&marked, b"", &Limits::DEFAULT);
        over.store(true, Relaxed);
        result
    });
    let ours = matches!(result, Err(SandboxError::Step { .. } | SandboxError::SlotBroke { .. }));
    assert!(ours, "{result:?}");
}

/// A compiler that somebody killed had "refused" its program, with a reward of 0.
fn killed_compiler() {
    const SOURCE: &str =
        "#include <bits/stdc++.h>\nint main() { std::cout << std::regex_match(\"a\", std::regex(\"a\")); }";
    let sandbox = sandbox(2);
    let program = Program::new(Language::from_name("cpp17").expect("C++"), SOURCE);
    for (most, want) in [(1, "ready"), (usize::MAX, "our failure")] {
        let (over, killed) = (AtomicBool::new(false), AtomicUsize::new(0));
        // New limits are another program for the cache.
        let limits = Limits { cpu_time: Duration::from_secs(30 + most.min(2) as u64), ..Limits::COMPILE };
        let made = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    for pid in family(std::process::id()) {
                        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                        let compiles = line.windows(8).any(|part| part == b"main.cpp")
                            && parent_of(pid).is_some_and(|slot| name_of(slot) == "assay: slot");
                        if compiles && killed.load(Relaxed) < most && strike(pid, Signal::SIGKILL) {
                            killed.fetch_add(1, Relaxed);
                            while !gone(pid) {
                                std::thread::sleep(Duration::from_millis(1));
                            }
                        }
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
            let made = sandbox.prepare(&program, &limits);
            over.store(true, Relaxed);
            made
        });
        let end = match &made {
            Ok(Prepared::Ready(_)) => "ready",
            Ok(Prepared::Refused(_)) => "refused",
            Err(SandboxError::Step { .. } | SandboxError::SlotBroke { .. }) => "our failure",
            Err(_) => "another failure",
        };
        assert_eq!(end, want, "{made:?}");
        assert!(killed.into_inner() >= most.min(2));
    }
}

/// A slot-init that stands still says nothing; its run is given up after a while and repeated elsewhere, and nothing
/// of it stays.
fn stopped_slot() {
    let sandbox = sandbox(1);
    let program = prepare(&sandbox, "import time; time.sleep(0.5); print('done')");
    run(&sandbox, "pass");
    let slots = || {
        family(std::process::id())
            .into_iter()
            .filter(|pid| name_of(*pid) == "assay: slot")
            .collect::<Vec<_>>()
    };
    let stopped = slots();
    assert_eq!(stopped.len(), 1);
    let limits = Limits { wall_time: Duration::from_secs(2), ..Limits::DEFAULT };
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            strike(stopped[0], Signal::SIGSTOP);
        });
        sandbox.run(&program, b"", &limits).expect("run")
    });
    assert_eq!((outcome.termination, outcome.stdout.as_slice()), (Exited(0), &b"done\n"[..]));
    assert!(slots().iter().all(|slot| !stopped.contains(slot)), "the stopped slot is still there");
}

/// Resident memory of all of ours after a tenth of the runs, and after all of them.
fn flat_memory() {
    let runs = size(2_000, 100_000);
    let slots = 2;
    let sandbox = sandbox(slots);
    let programs =
        ["print(1)", "raise SystemExit(2)", "print(input())"].map(|source| prepare(&sandbox, source));
    let measure = |runs: usize| {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..slots {
                scope.spawn(|| {
                    while let Some(run) = Some(next.fetch_add(1, Relaxed)).filter(|run| *run < runs) {
                        sandbox.run(&programs[run % programs.len()], b"x\n", &Limits::DEFAULT).expect("run");
                    }
                });
            }
        });
        let mut memory: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for pid in trusted().into_iter().chain([std::process::id()]) {
            let name = if pid == std::process::id() { "client".into() } else { name_of(pid) };
            memory.entry(name).or_default().push(resident_kib(pid));
        }
        memory.values_mut().for_each(|sizes| sizes.sort_unstable());
        memory
    };
    let (early, late) = (measure(runs / 10), measure(runs - runs / 10));
    println!("resident KiB after {} runs {early:?}, after {runs} {late:?}", runs / 10);
    assert_eq!(early.keys().collect::<Vec<_>>(), late.keys().collect::<Vec<_>>());
    for (name, sizes) in &late {
        assert_eq!(sizes.len(), early[name].len(), "{name}");
        for (late, early) in sizes.iter().zip(&early[name]) {
            assert!(*late < early + 4096, "{name} grew from {early} to {late} KiB");
        }
    }
}

fn sandbox(slots: usize) -> Sandbox {
    Sandbox::start(&SandboxConfig { slots, ..SandboxConfig::default() }).expect("a sandbox")
}

fn prepare(sandbox: &Sandbox, source: &str) -> Executable {
    match sandbox.prepare(&Program::new(Language::Python3, source), &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => executable,
        Prepared::Refused(outcome) => panic!("{}", described(&outcome)),
    }
}

fn run(sandbox: &Sandbox, source: &str) -> Outcome {
    sandbox.run(&prepare(sandbox, source), b"", &Limits::DEFAULT).expect("run")
}

fn described(outcome: &Outcome) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    let (stdout, stderr) = (text(&outcome.stdout), text(&outcome.stderr));
    format!("{:?}, {:?}, rerun {}, {stdout:?}, {stderr:?}", outcome.termination, outcome.usage, outcome.rerun)
}

/// Spawner, slot-inits, their anchors (forks of the same name) and warm interpreters below this process. A program is in
/// a pid namespace below its slot's, and the second process there; before it executes anything, it has its slot's name.
fn trusted() -> Vec<u32> {
    let ours = |pid: &u32| {
        let Some(parent) = parent_of(*pid) else { return false };
        let (own, above) = (numbers(*pid), numbers(parent));
        match name_of(*pid).as_str() {
            "assay: spawner" => true,
            "assay: slot" => name_of(parent) == "assay: spawner" || own.last() == Some(&1),
            _ => name_of(parent) == "assay: slot" && own.len() == above.len() && own.len() > 1,
        }
    };
    family(std::process::id()).into_iter().filter(ours).collect()
}

/// The numbers of a process, from the outermost pid namespace in; none when it is gone.
fn numbers(pid: u32) -> Vec<u32> {
    let line = status_line(pid, "NSpid:").unwrap_or_default();
    line.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    status_line(pid, "PPid:")?.trim().parse().ok()
}

fn resident_kib(pid: u32) -> u64 {
    let line = status_line(pid, "VmRSS:").unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn status_line(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::to_string)
}

fn gone(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with('Z'))
}

/// Signals a process of this test's own; whether it was there.
fn strike(pid: u32, signal: Signal) -> bool {
    kill(Pid::from_raw(pid as i32), signal).is_ok()
}
