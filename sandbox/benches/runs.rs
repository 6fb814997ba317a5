//! What a run costs, beside the floor it stands on: a plain fork of the same interpreter with the same modules, no
//! walls, nothing compiled. All kinds alternate in one run, on all cores, each for the same time; medians and worst
//! of the repeats are printed, with each rate as a multiple of the floor's.
//!
//! `cargo bench -p assay-sandbox --bench runs [-- --seconds 2 --repeats 5 --only NAME,NAME --json]`. CPU is the whole machine's busy time
//! per run, so nothing that a run makes others do is missed; measure on an idle machine. Each run of new source has a
//! text of its own, compiled in that run; every output is checked, and one run in fifty is a program that looks
//! whether the walls stand around it. With `--features removable-walls` there are rows of runs each of which lacks one
//! wall. "Sparse" runs come 5 to 30 ms apart, one at a time: their latency counts.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use assay_sandbox::{
    Executable, Lack, Language, Limits, Prepared, Program, Sandbox, SandboxConfig, Termination,
};

/// The floor: an interpreter with the modules of a warm one that forks when told to, and says when it has.
const FLOOR: &str = "
import importlib, os, sys, gc
for name in sys.argv[1].split():
    try: importlib.import_module(name)
    except ImportError: pass
gc.disable(); gc.freeze()
print(flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0: os._exit(0)
    os.waitpid(pid, 0)
    print(flush=True)
";
/// As `zygote.rs` and `zygote.py` say.
const MODULES: &str = "abc array atexit bisect calendar cmath collections contextlib copy dataclasses datetime decimal \
    enum fractions functools gc hashlib heapq importlib.machinery io itertools json linecache marshal math numbers \
    operator os platform pprint queue random re resource signal socket ctypes statistics string struct textwrap \
    threading time traceback types typing unicodedata warnings";

/// Says "stand" when what only the walls prevent is prevented.
const PROBE: &str = "
import os, socket
def granted(attempt):
    try: attempt()
    except OSError: return False
    return True
assert os.getpid() == 2
attempts = [lambda: open('/etc/passwd'), lambda: open('/box/x', 'w'), lambda: os.listdir('/proc/2')]
assert not any(map(granted, attempts + [socket.socket, lambda: os.setuid(0)]))
print('stand')
";
/// How many tests a program has.
const TESTS: usize = 20;
/// A probe in so many runs.
const PROBED: u64 = 50;

/// One kind of run and what was measured of it.
struct Kind<'a> {
    name: &'static str,
    /// Does one run on the given core's behalf.
    run: Box<dyn Fn(usize) + Sync + 'a>,
    /// One at a time, with a pause before each.
    sparse: bool,
    /// How many runs one call is.
    runs: usize,
    per_second: Vec<f64>,
    cpu_ms: Vec<f64>,
    latency_ms: Vec<f64>,
}

fn main() {
    assay_sandbox::init();
    let sandbox = Sandbox::start(&SandboxConfig::default()).expect("a sandbox");
    let python = std::env::var("ASSAY_PYTHON").unwrap_or_else(|_| interpreter());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let floors: Vec<Mutex<Floor>> = (0..cores).map(|_| Mutex::new(Floor::start(&python))).collect();
    let counter = AtomicU64::new(0);
    let fresh = |template: &str| {
        let number = counter.fetch_add(1, Relaxed);
        if number % PROBED == PROBED - 1 {
            return expect(&sandbox, &prepare(&sandbox, Language::Python3, PROBE), b"", "stand\n");
        }
        let number = number.to_string();
        let executable = prepare(&sandbox, Language::Python3, &template.replace("{}", &number));
        expect(&sandbox, &executable, b"", &format!("{number}\n"));
    };
    let bare = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.args(arguments).env_clear().stdin(Stdio::null());
        assert!(command.status().expect("the interpreter").success());
    };
    let test = "print(int(input()) + 1)";
    let script = prepare(&sandbox, Language::Python3, test);
    // What walls cost: the same test where the host seems to lack them.
    let lacking = |lacks: &[Lack]| {
        let sandbox =
            Sandbox::start(&SandboxConfig { without: lacks.to_vec(), ..SandboxConfig::default() }).ok()?;
        let Ok(Prepared::Ready(script)) =
            sandbox.prepare(&Program::new(Language::Python3, test), &Limits::COMPILE)
        else {
            return None;
        };
        Some((sandbox, script))
    };
    // The last comes first.
    let lower =
        [("... nor namespaces", &[Lack::Namespaces][..]), ("python, next test, no groups", &[Lack::Groups])];
    let lower: Vec<_> =
        without_each().iter().chain(&lower).map(|(name, lack)| (*name, lacking(lack))).collect();
    let native = prepare(&sandbox, Language::Cpp17, "#include <cstdio>\nint main() { puts(\"42\"); }");
    let numpy = "try: import numpy\nexcept ImportError: pass\nprint({})\n";
    let mut kinds = vec![
        Kind::new("floor: plain fork, warm", |core| floors[core].lock().expect("a floor").fork()),
        Kind::new("python, new source", |_| fresh("x = {}\nprint(x)\n")),
        Kind::new("python, next test", |_| expect(&sandbox, &script, b"41\n", "42\n")),
        Kind::of("python, 20 tests of a program", TESTS, |_| {
            let number = counter.fetch_add(1, Relaxed);
            let source = format!("a = {number}\nprint(int(input()) + 1)");
            let executable = prepare(&sandbox, Language::Python3, &source);
            (0..TESTS).for_each(|_| expect(&sandbox, &executable, b"41\n", "42\n"));
        }),
        Kind { sparse: true, ..Kind::new("python, new source, sparse", |_| fresh("x = {}\nprint(x)\n")) },
        Kind::new("python with numpy, new source", |_| fresh(numpy)),
        Kind::new("native, next test", |_| expect(&sandbox, &native, b"", "42\n")),
        Kind::new("plain python3 -I -S -c pass", |_| bare(&["-I", "-S", "-c", "pass"])),
        Kind::new("plain python3 -I -c pass", |_| bare(&["-I", "-c", "pass"])),
    ];
    for (name, made) in &lower {
        match made {
            Some((sandbox, script)) => {
                kinds.insert(3, Kind::new(name, move |_| expect(sandbox, script, b"41\n", "42\n")));
            }
            None => eprintln!("{name}: not to be had here"),
        }
    }
    if let Some(only) = argument("--only") {
        let mut place = 0..;
        kinds.retain(|kind| place.next() == Some(0) || only.split(',').any(|name| kind.name.contains(name)));
    }
    // The first of each makes slots and warms interpreters.
    for kind in &mut kinds {
        kind.measure(cores, 0.5);
        (kind.per_second, kind.cpu_ms, kind.latency_ms) = Default::default();
    }
    let (seconds, repeats) = (option("--seconds").unwrap_or(2.0), option("--repeats").unwrap_or(5.0));
    for _ in 0..repeats as usize {
        kinds.iter_mut().for_each(|kind| kind.measure(cores, seconds));
    }
    report(&mut kinds, std::env::args().any(|argument| argument == "--json"));
}

/// Each wall of a run left out by itself, in builds where that can be.
#[cfg(not(feature = "removable-walls"))]
fn without_each() -> &'static [(&'static str, &'static [Lack])] {
    &[]
}

#[cfg(feature = "removable-walls")]
fn without_each() -> &'static [(&'static str, &'static [Lack])] {
    use assay_sandbox::Step::*;
    &[
        ("... but for the list of calls", &[Lack::Step(Seccomp)]),
        ("... but for landlock", &[Lack::Step(Landlock)]),
        ("... but for capabilities", &[Lack::Step(Credentials)]),
        ("... but for limits", &[Lack::Step(Rlimits)]),
        ("... but for descriptors, group", &[Lack::Step(Descriptors)]),
        ("... but for nothing", &[]),
    ]
}

impl<'a> Kind<'a> {
    fn new(name: &'static str, run: impl Fn(usize) + Sync + 'a) -> Kind<'a> {
        Kind::of(name, 1, run)
    }

    fn of(name: &'static str, runs: usize, run: impl Fn(usize) + Sync + 'a) -> Kind<'a> {
        let (per_second, cpu_ms, latency_ms) = Default::default();
        Kind { name, run: Box::new(run), sparse: false, runs, per_second, cpu_ms, latency_ms }
    }

    /// Runs on every core for so long.
    fn measure(&mut self, cores: usize, seconds: f64) {
        let (busy, began) = (busy_seconds(), Instant::now());
        let (run, runs) = (&self.run, self.runs as f64);
        let cores = if self.sparse { 1 } else { cores };
        let sparse = self.sparse;
        let one_core = |core: usize| {
            let mut latencies = Vec::new();
            while began.elapsed().as_secs_f64() < seconds {
                if sparse {
                    std::thread::sleep(Duration::from_micros(5000 + latencies.len() as u64 * 7919 % 25_000));
                }
                let started = Instant::now();
                run(core);
                latencies.push(started.elapsed().as_secs_f64() * 1e3 / runs);
            }
            latencies
        };
        let latencies: Vec<f64> = std::thread::scope(|scope| {
            let loops: Vec<_> = (0..cores).map(|core| scope.spawn(move || one_core(core))).collect();
            loops.into_iter().flat_map(|each| each.join().expect("a loop")).collect()
        });
        let runs = latencies.len() as f64 * runs;
        self.per_second.push(runs / began.elapsed().as_secs_f64());
        self.cpu_ms.push((busy_seconds() - busy) * 1e3 / runs);
        self.latency_ms.extend(latencies);
    }

    /// Runs per second, the worst repeat's, CPU per run, median and 99th percentile of the latency.
    fn figures(&mut self) -> [f64; 5] {
        [
            quantile(&mut self.per_second, 0.5),
            quantile(&mut self.per_second, 0.0),
            quantile(&mut self.cpu_ms, 0.5),
            quantile(&mut self.latency_ms, 0.5),
            quantile(&mut self.latency_ms, 0.99),
        ]
    }
}

fn report(kinds: &mut [Kind<'_>], json: bool) {
    let figures: Vec<[f64; 5]> = kinds.iter_mut().map(Kind::figures).collect();
    let rows = kinds.iter().zip(&figures).map(|(kind, row)| (kind.name, row, row[0] / figures[0][0]));
    if json {
        let row = |(name, [rate, worst, cpu, p50, p99], of_floor): (&str, &[f64; 5], f64)| {
            format!(
                "\"{name}\": {{\"per_second\": {rate:.1}, \"worst_per_second\": {worst:.1}, \"cpu_ms\": {cpu:.3}, \
                 \"p50_ms\": {p50:.3}, \"p99_ms\": {p99:.3}, \"of_floor\": {of_floor:.3}}}"
            )
        };
        println!("{{{}}}", rows.map(row).collect::<Vec<_>>().join(", "));
        return;
    }
    let heads = ["runs/s", "worst", "CPU ms", "p50 ms", "p99 ms", "of floor"];
    println!("{:30} {}", "", heads.map(|head| format!("{head:>9}")).join(""));
    for (name, [rate, worst, cpu, p50, p99], of_floor) in rows {
        println!("{name:30} {rate:>9.0}{worst:>9.0}{cpu:>9.2}{p50:>9.2}{p99:>9.2}{of_floor:>8.2}x");
    }
}

fn prepare(sandbox: &Sandbox, language: Language, source: &str) -> Executable {
    match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => executable,
        Prepared::Refused(outcome) => panic!("{}", String::from_utf8_lossy(&outcome.stderr)),
    }
}

fn expect(sandbox: &Sandbox, executable: &Executable, stdin: &[u8], output: &str) {
    let limits = Limits { cpu_time: Duration::from_secs(10), ..Limits::DEFAULT };
    let outcome = sandbox.run(executable, stdin, &limits).expect("run");
    assert_eq!(outcome.termination, Termination::Exited(0), "{}", String::from_utf8_lossy(&outcome.stderr));
    assert_eq!(outcome.stdout, output.as_bytes());
}

/// The floor's interpreter and the pipes to it.
struct Floor {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Floor {
    fn start(python: &str) -> Floor {
        let mut command = Command::new(python);
        command.args(["-s", "-B", "-c", FLOOR, MODULES]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the interpreter");
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        let mut floor = Floor { child, answers };
        floor.hear();
        floor
    }

    fn fork(&mut self) {
        self.child.stdin.as_mut().expect("its input").write_all(b"\n").expect("it listens");
        self.hear();
    }

    fn hear(&mut self) {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        assert_eq!(line, "\n");
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.child.stdin = None;
        let _ = self.child.wait();
    }
}

/// Behind a shell shim of PATH, the interpreter itself.
fn interpreter() -> String {
    let ask = ["-I", "-c", "import sys, os; print(os.path.realpath(sys.executable))"];
    let output = Command::new("python3").args(ask).output().expect("python3");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// CPU time that the machine has spent on anything: user, nice, system, and interrupts.
fn busy_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").expect("/proc/stat");
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().filter_map(|at| ticks.get(*at)).sum::<u64>() as f64 / 100.0
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * q).round() as usize]
}

/// What stands behind an option of the command line.
fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn option(name: &str) -> Option<f64> {
    argument(name)?.parse().ok()
}
