//! The weaker tiers, on a host made to lack what they do without: the same ends, the same imports, the same walls seen
//! from outside; and what is said of a wall that is missing.

mod processes;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use assay_sandbox::Termination::{
    CpuTimeLimit, Exited, ForbiddenSyscall, MemoryLimit, OutputLimit, ProcessLimit, Signaled, WallTimeLimit,
};
use assay_sandbox::{
    Lack, Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxConfig, SandboxError, Termination,
    Tier, WallState,
};
use libtest_mimic::{Arguments, Failed, Trial};
use processes::{family, name_of};

/// A host, by what it lacks. Where this one lacks it too, it is the same host again.
struct Host {
    name: &'static str,
    lacks: &'static [Lack],
    cold: bool,
}

const HOSTS: [Host; 6] = [
    Host { name: "host", lacks: &[], cold: false },
    Host { name: "no_groups", lacks: &[Lack::Groups], cold: false },
    Host { name: "no_groups_cold", lacks: &[Lack::Groups], cold: true },
    Host { name: "container", lacks: &[Lack::Groups, Lack::Namespaces], cold: false },
    Host { name: "container_cold", lacks: &[Lack::Groups, Lack::Namespaces], cold: true },
    Host { name: "container_user", lacks: &[Lack::Groups, Lack::Namespaces, Lack::Users], cold: false },
];

type Check = Box<dyn Fn(&Sandbox) -> Result<(), Failed> + Send>;

fn main() {
    assay_sandbox::init();
    let process: Vec<String> = std::env::args().collect();
    if let [_, role, name] = process.as_slice()
        && role == ALONE_ROLE
    {
        let (_, check) = ALONE.iter().find(|(known, _)| known == name).expect("a check");
        return check();
    }
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = ALONE.iter().map(|(name, _)| Trial::test(*name, || alone(name))).collect();
    for host in &HOSTS {
        // Started by the first test that needs it: listing tests starts nothing.
        let shared: Arc<OnceLock<Sandbox>> = Arc::default();
        let mut add = |name: &str, check: Check| {
            let shared = Arc::clone(&shared);
            let run = move || check(shared.get_or_init(|| host.start()));
            trials.push(Trial::test(format!("{}::{name}", host.name), run));
        };
        for (name, source, ends) in ENDS {
            add(name, Box::new(|sandbox| ends_so(sandbox, source, ends)));
        }
        for module in MODULES {
            add(&format!("import_{module}"), Box::new(|sandbox| imports(sandbox, module)));
        }
        add("walls_seen_from_outside", Box::new(|sandbox| seen_from_outside(sandbox, host)));
        add("doctor", Box::new(|sandbox| doctor(sandbox, host)));
        add("native_programs", Box::new(native_programs));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

impl Host {
    fn start(&self) -> Sandbox {
        let config = SandboxConfig {
            slots: 2,
            without: self.lacks.to_vec(),
            cold_start: self.cold,
            ..SandboxConfig::default()
        };
        Sandbox::start(&config).expect("a sandbox")
    }

    fn is_container(&self) -> bool {
        self.lacks.contains(&Lack::Namespaces)
    }
}

const LIMITS: Limits = Limits {
    cpu_time: Duration::from_millis(900),
    wall_time: Duration::from_millis(900),
    processes: 8,
    output: 1 << 20,
    ..Limits::DEFAULT
};

#[rustfmt::skip]
const ENDS: &[(&str, &str, &[Termination])] = &[
    ("exit_0", "print(1)", &[Exited(0)]),
    ("exit_code", "raise SystemExit(41)", &[Exited(41)]),
    ("exception", "1 // 0", &[Exited(1)]),
    ("syntax", "print(1", &[Exited(1)]),
    ("abort", "import os; os.abort()", &[Signaled(6)]),
    ("kills_itself", "import os; os.kill(os.getpid(), 15)", &[Signaled(15)]),
    ("kills_its_group", "import os; os.kill(0, 15)", &[Signaled(15)]),
    ("raises_a_signal", "import signal; signal.raise_signal(signal.SIGUSR1)", &[Signaled(10)]),
    ("signals_a_thread", "import signal, threading\nsignal.signal(10, lambda *_: exit(7))\n\
        signal.pthread_kill(threading.get_ident(), 10)\nwhile True: pass", &[Exited(7)]),
    ("alarm", "import signal\nsignal.alarm(1)\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\nsignal.pause()", &[Signaled(14)]),
    ("cpu", "while True: pass", &[CpuTimeLimit]),
    ("cpu_of_threads", "import threading, zlib\ndef f():\n    while True: zlib.compress(bytes(1 << 20))\n\
        for _ in range(3): threading.Thread(target=f).start()", &[CpuTimeLimit]),
    ("sleeper", "import time; time.sleep(60)", &[WallTimeLimit]),
    ("memory_at_once", "x = bytearray(8 << 30)\nfor i in range(0, len(x), 4096): x[i] = 1", &[MemoryLimit]),
    ("memory_in_blocks", "a = []\nwhile True: a.append(b'x' * (1 << 24))", &[MemoryLimit]),
    ("memory_below_the_limit", "x = bytearray(180 << 20); print(len(x))", &[Exited(0)]),
    ("output", "while True: print('x' * 65536)", &[OutputLimit]),
    ("threads", "import threading, time\nfor _ in range(100): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\ntime.sleep(9)",
        &[ProcessLimit, Exited(1)]),
    ("few_threads", "import threading\nall = [threading.Thread(target=print, args=(n,)) for n in range(4)]\n\
        for t in all: t.start()\nfor t in all: t.join()", &[Exited(0)]),
    ("forbidden", "import ctypes; ctypes.CDLL(None).syscall(101, 0, 0, 0, 0)", &[ForbiddenSyscall]),
    ("recursion", "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return n and 1 + f(n - 1)\nassert f(90000) == 90000", &[Exited(0)]),
    ("streams_by_name", "open('/dev/stdout', 'w').write(open('/dev/stdin').read())\nopen('/dev/stderr', 'w').write('e')", &[Exited(0)]),
    ("open_streams_by_number", "open('/dev/fd/1', 'w').write('f'); assert open(0).read() == ''", &[Exited(0)]),
    ("asyncio", "import asyncio\nasync def f(): await asyncio.sleep(0.01); return 3\nassert asyncio.run(f()) == 3", &[Exited(0)]),
    ("own_source", "import sys, os\nassert __name__ == '__main__' and open(__file__).read() == open('main.py').read()\n\
        assert os.listdir() == ['main.py'] and os.path.dirname(__file__) == sys.path[0] == os.getcwd()", &[Exited(0)]),
    ("traceback_shows_the_line", "import traceback\ndef f():\n    return 1 // 0  # here\ntry: f()\n\
        except ZeroDivisionError: assert '# here' in traceback.format_exc()", &[Exited(0)]),
    ("identity", "import os\nassert os.getpid() == os.getpgrp() and os.getppid() == 0", &[Exited(0)]),
    ("own_limits_and_cores", "import os, resource\nresource.getrlimit(resource.RLIMIT_CPU)\nresource.setrlimit(resource.RLIMIT_CPU, (1, 1))\n\
        os.sched_getaffinity(0); os.sched_getaffinity(os.getpid()); os.cpu_count(); os.getpriority(0, 0)", &[Exited(0)]),
    ("clocks", "import time\nfor c in range(8): time.clock_gettime(c)\ntime.thread_time(); time.process_time()", &[Exited(0)]),
    ("random_numbers", "import random, secrets, os, uuid; random.random(), secrets.token_hex(), os.urandom(9), uuid.uuid4()", &[Exited(0)]),
];

fn python(sandbox: &Sandbox, source: &str) -> Outcome {
    match sandbox.prepare(&Program::new(Language::Python3, source), &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => sandbox.run(&executable, b"", &LIMITS).expect("run"),
        Prepared::Refused(outcome) => panic!("{outcome:?}"),
    }
}

fn ends_so(sandbox: &Sandbox, source: &str, ends: &[Termination]) -> Result<(), Failed> {
    let outcome = python(sandbox, source);
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    if ends.contains(&outcome.termination) {
        return Ok(());
    }
    Err(format!("{:?} {:?}, wanted one of {ends:?}: {stderr}", outcome.termination, outcome.usage).into())
}

/// What programs import that goes to the system, with what they then do first.
const MODULES: &[&str] = &[
    "asyncio",
    "bz2",
    "concurrent.futures",
    "csv",
    "ctypes",
    "curses",
    "dbm",
    "decimal",
    "email",
    "fcntl",
    "getpass",
    "glob",
    "grp",
    "hashlib",
    "http.client",
    "inspect",
    "locale",
    "logging",
    "lzma",
    "mimetypes",
    "mmap",
    "multiprocessing",
    "numba",
    "numpy",
    "pandas",
    "pathlib",
    "pickle",
    "platform",
    "pty",
    "pwd",
    "readline",
    "scipy",
    "select",
    "selectors",
    "shelve",
    "shutil",
    "socket",
    "socketserver",
    "sortedcontainers",
    "sqlite3",
    "ssl",
    "subprocess",
    "sympy",
    "sysconfig",
    "syslog",
    "tempfile",
    "termios",
    "threading",
    "tkinter",
    "tracemalloc",
    "turtle",
    "urllib.request",
    "uuid",
    "webbrowser",
    "zoneinfo",
];

/// Does with each module what a program does first. Whatever the box refuses is an exception like any other.
const USE: &str = r#"
import importlib, os, sys
name = sys.argv[1]
def first(module):
    uses = {
        "concurrent.futures": lambda: list(module.ThreadPoolExecutor(2).map(abs, [-1])),
        "ctypes": lambda: module.CDLL(None).abs(-3),
        "decimal": lambda: module.Decimal(2).sqrt(),
        "fcntl": lambda: module.flock(0, module.LOCK_SH),
        "getpass": module.__dict__.get("getuser"),
        "hashlib": lambda: module.sha256(b"x").hexdigest(),
        "http.client": lambda: module.HTTPConnection("127.0.0.1").connect(),
        "mimetypes": lambda: module.guess_type("x.py"),
        "mmap": lambda: module.mmap(-1, 4096),
        "multiprocessing": lambda: module.Pool(2).map(abs, [-1]),
        "numpy": lambda: module.linalg.inv(module.random.rand(50, 50)),
        "platform": lambda: (module.platform(), module.node(), module.processor()),
        "pty": lambda: module.openpty(),
        "pwd": lambda: module.getpwuid(os.getuid()),
        "socket": lambda: module.create_connection(("127.0.0.1", 80)),
        "sqlite3": lambda: module.connect(":memory:").execute("select 1").fetchall(),
        "ssl": lambda: module.create_default_context(),
        "subprocess": lambda: module.run(["true"]),
        "syslog": lambda: module.syslog("x"),
        "tempfile": lambda: module.TemporaryFile(),
        "tkinter": lambda: module.Tk(),
        "urllib.request": lambda: module.urlopen("http://127.0.0.1/"),
        "webbrowser": lambda: module.open("about:blank"),
        "zoneinfo": lambda: module.ZoneInfo("Europe/Berlin"),
    }
    use = uses.get(name)
    return use and use()
try:
    first(importlib.import_module(name))
except Exception as error:
    print("softly:", type(error).__name__, error)
else:
    print("works")
# Threads that such a module left behind, waiting for processes that it may not start.
sys.stdout.flush()
os._exit(0)
"#;

fn imports(sandbox: &Sandbox, module: &str) -> Result<(), Failed> {
    let program = Program { args: vec![module.to_string()], ..Program::new(Language::Python3, USE) };
    let Prepared::Ready(executable) = sandbox.prepare(&program, &Limits::COMPILE)? else { panic!("refused") };
    let limits =
        Limits { cpu_time: Duration::from_secs(10), wall_time: Duration::from_secs(10), ..Limits::DEFAULT };
    let outcome = sandbox.run(&executable, b"", &limits)?;
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    let soft = stdout.starts_with("works") || stdout.starts_with("softly: ");
    if outcome.termination == Exited(0) && soft {
        return Ok(());
    }
    Err(format!("{:?}: {stdout}{}", outcome.termination, String::from_utf8_lossy(&outcome.stderr)).into())
}

/// The kernel's own account of a guest: filters, no way to rights, none in any set, its number in its namespace.
fn seen_from_outside(sandbox: &Sandbox, host: &Host) -> Result<(), Failed> {
    let source = "import sys, time; sys.stderr.write('here'); time.sleep(0.6)";
    let Prepared::Ready(executable) =
        sandbox.prepare(&Program::new(Language::Python3, source), &Limits::COMPILE)?
    else {
        panic!("refused")
    };
    let found = std::thread::scope(|scope| {
        let run = scope.spawn(|| sandbox.run(&executable, b"", &LIMITS));
        let mut found = Vec::new();
        // The one that sleeps behind more filters than any other process has.
        while !run.is_finished() {
            found.extend(family(std::process::id()).into_iter().filter_map(status));
            std::thread::sleep(Duration::from_millis(5));
        }
        run.join().expect("a run").map(|outcome| (outcome, found))
    });
    let (outcome, found) = found?;
    assert_eq!(outcome.termination, Exited(0), "{outcome:?}");
    let text = found.iter().max_by_key(|text| filters(text)).ok_or("no guest was seen")?;
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).unwrap_or("");
    assert_eq!((field("Seccomp"), field("NoNewPrivs")), ("2", "1"), "{text}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    if !host.is_container() && sandbox.tier() != Some(Tier::D) {
        assert!(field("NSpid").ends_with("\t2"), "{text}");
    }
    Ok(())
}

/// What `/proc` says of a process that lives: one read just as it ended (`State: X`) was once taken for the
/// guest, and it has no numbers in any namespace any more.
fn status(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    (!text.contains("\nState:\tX") && !text.contains("\nState:\tZ")).then_some(text)
}

/// How many filters are on a process.
fn filters(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:\t")?.parse().ok())
}

fn doctor(sandbox: &Sandbox, host: &Host) -> Result<(), Failed> {
    let doctor = sandbox.doctor();
    let state = |name: &str| {
        let wall = doctor.walls.iter().find(|wall| wall.name == name);
        wall.unwrap_or_else(|| panic!("{name} is not in {doctor:?}")).state.clone()
    };
    if host.lacks.contains(&Lack::Groups) && doctor.tier != Some(Tier::D) {
        assert_eq!(doctor.tier, Some(Tier::C));
        assert!(matches!(state("cgroup"), WallState::Weaker(text) if text.contains("Delegate=yes")));
    }
    if host.is_container() {
        assert_eq!(doctor.tier, Some(Tier::D));
        // The container's list of system calls is what is in the way.
        assert!(
            matches!(state("namespaces"), WallState::Missing(text) if text.contains("seccomp")),
            "{doctor:?}"
        );
        assert!(matches!(state("root"), WallState::Weaker(text) if text.contains("landlock")));
        let native =
            doctor.languages.iter().find(|known| known.language == Language::Cpp17).ok_or("no C++")?;
        assert!(!native.ok && native.hint.contains("namespaces"), "{native:?}");
        let root = nix::unistd::geteuid().is_root();
        let own_users = root && !host.lacks.contains(&Lack::Users);
        assert_eq!(matches!(state("credentials"), WallState::Up(_)), own_users, "{doctor:?}");
    }
    let python =
        doctor.languages.iter().find(|known| known.language == Language::Python3).ok_or("no Python")?;
    assert!(python.ok, "{python:?}");
    Ok(())
}

/// Compiled where there are namespaces; tier D says that it cannot, and runs what was compiled elsewhere.
fn native_programs(sandbox: &Sandbox) -> Result<(), Failed> {
    let program = Program::new(
        Language::Cpp17,
        "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }",
    );
    let prepared = match sandbox.prepare(&program, &Limits::COMPILE) {
        Err(SandboxError::Unavailable(text)) if sandbox.tier() == Some(Tier::D) => {
            assert!(text.contains("namespaces"), "{text}");
            HOSTS[0].start().prepare(&program, &Limits::COMPILE)
        }
        other => other,
    };
    match prepared {
        Ok(Prepared::Ready(executable)) => {
            let outcome = sandbox.run(&executable, b"20 22", &LIMITS)?;
            assert_eq!(
                (outcome.termination, outcome.stdout.as_slice()),
                (Exited(0), &b"42"[..]),
                "{outcome:?}"
            );
            Ok(())
        }
        Ok(Prepared::Refused(outcome)) => Err(format!("{outcome:?}").into()),
        // No compiler on this machine.
        Err(SandboxError::Unavailable(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// These count or kill processes, so each runs in a process of its own.
const ALONE: &[(&str, fn())] = &[
    ("mounts_that_fail_are_found_out", mounts_that_fail),
    ("a_better_tier_than_there_is_is_refused", better_tier),
    ("a_container_leaves_nothing_behind", container_leaves_nothing),
    ("a_guest_dies_with_its_slot", dies_with_its_slot),
];
const ALONE_ROLE: &str = "__alone";

fn alone(name: &str) -> Result<(), Failed> {
    let output = Command::new(std::env::current_exe()?).args([ALONE_ROLE, name]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

fn start(lacks: &[Lack], tier: Option<Tier>) -> Result<Sandbox, SandboxError> {
    Sandbox::start(&SandboxConfig { slots: 1, without: lacks.to_vec(), tier, ..SandboxConfig::default() })
}

/// On some hosts a user namespace can be made, and nothing mounted in it. Only who tries the whole sequence finds out.
fn mounts_that_fail() {
    let sandbox = start(&[Lack::Mounts], None).expect("a sandbox");
    let doctor = sandbox.doctor();
    assert_eq!(doctor.tier, Some(Tier::D));
    let namespaces = doctor.walls.iter().find(|wall| wall.name == "namespaces").expect("the wall");
    assert!(
        matches!(&namespaces.state, WallState::Missing(text) if text.contains("mounts: ")),
        "{namespaces:?}"
    );
    assert_eq!(python(&sandbox, "print(1)").termination, Exited(0));
}

fn better_tier() {
    for (lacks, asked, found) in [
        (&[Lack::Groups][..], Tier::B, Tier::C),
        (&[Lack::Groups, Lack::Namespaces], Tier::C, Tier::D),
        (&[Lack::Groups, Lack::Namespaces, Lack::Users], Tier::A, Tier::D),
    ] {
        match start(lacks, Some(asked)) {
            Err(SandboxError::Unavailable(text)) => {
                let own = start(&[], None).expect("a sandbox").tier().expect("a tier").max(found);
                assert!(text.contains(&format!("gives tier {own}, tier {asked} was asked for")), "{text}");
                assert!(text.contains("cgroup is weaker: "), "{text}");
                // The command line's words, not ours.
                assert!(!text.contains("assay doctor"), "{text}");
            }
            other => panic!("{other:?}"),
        }
        assert!(start(lacks, Some(Tier::D)).is_ok());
    }
}

/// Directories that slots have in a container, and everything else.
fn container_leaves_nothing() {
    for lacks in [&[Lack::Groups, Lack::Namespaces][..], &[Lack::Groups, Lack::Namespaces, Lack::Users]] {
        let sandbox = start(lacks, None).expect("a sandbox");
        for source in
            ["print(1)", "1 // 0", "while True: print('x' * 65536)", "import os; os.kill(os.getpid(), 9)"]
        {
            python(&sandbox, source);
        }
        let spawner = named("assay: spawner").into_iter().next().expect("a spawner");
        assert_eq!(directories(spawner).len(), 1);
        drop(sandbox);
        assert_eq!(directories(spawner), BTreeSet::new());
        assert_eq!(family(std::process::id()), Vec::<u32>::new());
        // Killed, it cannot tidy up; the next one does.
        let sandbox = start(lacks, None).expect("a sandbox");
        let spawner = named("assay: spawner").into_iter().next().expect("a spawner");
        kill(spawner);
        assert_eq!(python(&sandbox, "print(1)").termination, Exited(0));
        until(|| directories(spawner).is_empty());
    }
}

fn directories(spawner: u32) -> BTreeSet<String> {
    let places = [std::env::temp_dir(), "/dev/shm".into(), "/var/tmp".into()];
    let entries = places.iter().filter_map(|place| place.read_dir().ok()).flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&format!("assay-box-{spawner}-"))).collect()
}

/// Where no pid namespace ends a guest, the death of its parent does, which it cannot take back.
fn dies_with_its_slot() {
    for lacks in [&[Lack::Groups, Lack::Namespaces][..], &[Lack::Groups, Lack::Namespaces, Lack::Users]] {
        let sandbox = start(lacks, None).expect("a sandbox");
        let source = "import ctypes, os, signal, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\n\
            for number in range(1, 32):\n    try: signal.signal(number, signal.SIG_IGN)\n    except OSError: pass\n\
            time.sleep(0.8); print('done')";
        let Prepared::Ready(executable) =
            sandbox.prepare(&Program::new(Language::Python3, source), &Limits::COMPILE).expect("prepare")
        else {
            panic!("refused")
        };
        let limits = Limits { wall_time: Duration::from_secs(5), ..Limits::DEFAULT };
        assert_eq!(python(&sandbox, "print(1)").termination, Exited(0));
        let slot = named("assay: slot").into_iter().next().expect("a slot");
        std::thread::scope(|scope| {
            let run = scope.spawn(|| sandbox.run(&executable, b"", &limits).expect("run"));
            std::thread::sleep(Duration::from_millis(300));
            let mut doomed = family(slot);
            assert!(doomed.len() >= 2, "interpreter and guest: {doomed:?}");
            doomed.push(slot);
            kill(slot);
            until(|| doomed.iter().all(|pid| status(*pid).is_none_or(|text| text.contains("State:\tZ"))));
            let outcome = run.join().expect("a run");
            assert_eq!((outcome.termination, outcome.stdout.as_slice()), (Exited(0), &b"done\n"[..]));
        });
    }
}

fn kill(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(pid as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("kill");
}

fn until(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "it does not come to pass");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Descendants of this process with that name.
fn named(name: &str) -> BTreeSet<u32> {
    family(std::process::id()).into_iter().filter(|pid| name_of(*pid) == name).collect()
}
