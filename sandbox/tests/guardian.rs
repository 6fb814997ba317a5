//! The guardian, as a command line would use it: this executable is guardian, worker, spawner and slot-init in turn.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use assay_sandbox::guardian::{self, GuardOptions};
use assay_sandbox::{Language, Limits, Prepared, Program, Sandbox, SandboxConfig, Termination};
use libtest_mimic::{Arguments, Trial};
use nix::sys::signal::Signal;

fn main() -> ExitCode {
    assay_sandbox::init();
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, task, ..] = arguments.as_slice()
        && role == "__worker"
    {
        return worker(task);
    }
    let rows: [(&str, fn()); 6] = [
        ("runs_a_program_and_exits_with_the_workers_code", exits_with_workers_code),
        ("worker_has_no_capabilities", worker_has_no_capabilities),
        ("worker_reads_stdin", worker_reads_stdin),
        ("spawner_killed_mid_run_is_replaced", spawner_killed),
        ("sigterm_reaches_the_worker", sigterm_reaches_worker),
        ("worker_signal_becomes_exit_code", worker_signalled),
    ];
    let trials = rows.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    let ends = ENDS.iter().map(|signal| {
        Trial::test(format!("nothing_outlives_a_guardian_that_gets_{signal}"), || {
            nothing_outlives(*signal);
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().chain(ends).collect()).exit_code()
}

/// The other side: what a command line does after `init`.
fn worker(task: &str) -> ExitCode {
    guardian::run(&GuardOptions::default()).expect("guardian");
    let config = SandboxConfig { slots: 2, ..SandboxConfig::default() };
    let sandbox = Sandbox::connect(&config).expect("connect").expect("a guardian");
    assert!(Sandbox::connect(&config).expect("connect").is_none(), "the line can be taken once");
    let run = |source: &str| {
        let program = Program::new(Language::Python3, source);
        let Prepared::Ready(executable) = sandbox.prepare(&program, &Limits::COMPILE).expect("prepare")
        else {
            panic!("refused")
        };
        sandbox.run(&executable, b"", &Limits::DEFAULT)
    };
    match task {
        "run" => {
            let outcome = run("print(6 * 7)").expect("run");
            print!("{}", String::from_utf8_lossy(&outcome.stdout));
            ExitCode::from(7)
        }
        "capabilities" => {
            let status = std::fs::read_to_string("/proc/self/status").expect("status");
            status
                .lines()
                .filter(|line| line.starts_with("Cap") || line.starts_with("NoNew"))
                .for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        "stdin" => {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut std::io::stdin(), &mut text).expect("stdin");
            print!("{}", text.to_uppercase());
            ExitCode::SUCCESS
        }
        "kill-spawner" => {
            let spawner = children(parent())
                .into_iter()
                .find(|pid| name_of(*pid) == "assay: spawner")
                .expect("a spawner");
            let killer = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(700));
                signal(spawner, libc::SIGKILL);
            });
            // Its slot dies with the spawner; the run is repeated on a slot of the next one.
            let outcome = run("import time; time.sleep(1.5); print('done')").expect("run");
            killer.join().expect("killer");
            assert_eq!(outcome.termination, Termination::Exited(0));
            print!("{}", String::from_utf8_lossy(&outcome.stdout));
            ExitCode::SUCCESS
        }
        "wait" => {
            println!("{}", std::process::id());
            std::io::stdout().flush().expect("flush");
            let _ = run("import time; time.sleep(5)");
            std::thread::sleep(Duration::from_secs(60));
            ExitCode::SUCCESS
        }
        other => panic!("no task {other}"),
    }
}

fn exits_with_workers_code() {
    let output = start("run", "");
    assert_eq!((output.status.code(), text(&output)), (Some(7), "42\n".into()));
}

fn worker_has_no_capabilities() {
    let output = text(&start("capabilities", ""));
    let value = |name: &str| {
        let line = output.lines().find(|line| line.starts_with(name)).expect("a line");
        line.split_whitespace().last().expect("a value").trim_start_matches('0').to_string()
    };
    for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(value(set), "", "{set} in\n{output}");
    }
    assert_eq!(value("NoNewPrivs"), "1");
}

fn worker_reads_stdin() {
    assert_eq!(text(&start("stdin", "hello")), "HELLO");
}

fn spawner_killed() {
    assert_eq!(text(&start("kill-spawner", "")), "done\n");
}

fn sigterm_reaches_worker() {
    let (mut guardian, worker) = started_waiting();
    signal(guardian.id(), libc::SIGTERM);
    assert_eq!(guardian.wait().expect("guardian").code(), Some(128 + libc::SIGTERM));
    assert!(gone(worker));
}

fn worker_signalled() {
    let (mut guardian, worker) = started_waiting();
    signal(worker, libc::SIGKILL);
    assert_eq!(guardian.wait().expect("guardian").code(), Some(128 + libc::SIGKILL));
}

/// Every signal that ends a process by default, but SIGPIPE, which programs in Rust ignore.
const ENDS: [Signal; 22] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGKILL,
    Signal::SIGUSR1,
    Signal::SIGSEGV,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGTERM,
    Signal::SIGSTKFLT,
    Signal::SIGXCPU,
    Signal::SIGXFSZ,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGIO,
    Signal::SIGPWR,
    Signal::SIGSYS,
];

/// A guardian that was killed took its spawner along at once, and the directories of the slots' control groups stayed
/// until some later spawner looked: for ever on a machine where none was started again.
fn nothing_outlives(end: Signal) {
    let (mut guardian, _) = started_waiting();
    let family = family(guardian.id());
    let groups: Vec<PathBuf> = family
        .iter()
        .filter(|pid| name_of(**pid) == "assay: spawner")
        .flat_map(|pid| groups_of(*pid))
        .collect();
    signal(guardian.id(), end as i32);
    // The language's handler for crashes takes the first one, and no instruction repeats it.
    if matches!(end, Signal::SIGSEGV | Signal::SIGBUS) {
        std::thread::sleep(Duration::from_millis(100));
        signal(guardian.id(), end as i32);
    }
    guardian.wait().expect("guardian");
    let left = || {
        let alive = family.iter().filter(|pid| !gone(**pid)).map(|pid| format!("{pid} {}", name_of(*pid)));
        let groups = groups.iter().filter(|group| group.exists()).map(|group| group.display().to_string());
        alive.chain(groups).collect::<Vec<String>>()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline && !left().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(left(), [""; 0], "outlived the guardian");
}

fn command(task: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("exe"));
    command.args(["__worker", task]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn start(task: &str, stdin: &str) -> Output {
    let mut child = command(task).spawn().expect("spawn");
    child.stdin.take().expect("stdin").write_all(stdin.as_bytes()).expect("write");
    child.wait_with_output().expect("output")
}

/// A guardian whose worker has said its number and is waiting inside a run.
fn started_waiting() -> (std::process::Child, u32) {
    let mut guardian = command("wait").spawn().expect("spawn");
    let mut line = String::new();
    let stdout = guardian.stdout.take().expect("stdout");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("line");
    let slots =
        || family(guardian.id()).into_iter().filter(|pid| name_of(*pid) == "assay: slot").collect::<Vec<_>>();
    // The warm interpreter, the anchor and the program.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !slots().into_iter().any(|slot| children(slot).len() >= 3) {
        assert!(Instant::now() < deadline, "no run: {:?}", family(guardian.id()));
        std::thread::sleep(Duration::from_millis(5));
    }
    (guardian, line.trim().parse().expect("a number"))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
}

/// Everything below a process.
fn family(pid: u32) -> Vec<u32> {
    children(pid).into_iter().flat_map(|child| [vec![child], family(child)].concat()).collect()
}

/// The control groups a spawner has made, by their names.
fn groups_of(spawner: u32) -> Vec<PathBuf> {
    let prefix = format!("assay-{spawner}-");
    let (mut found, mut directories) = (Vec::new(), vec![PathBuf::from("/sys/fs/cgroup")]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                directories.push(entry.path());
                found.extend(
                    Some(entry.path()).filter(|_| entry.file_name().to_string_lossy().starts_with(&prefix)),
                );
            }
        }
    }
    found
}

fn name_of(pid: u32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split('\0').next().unwrap_or_default().to_string()
}

/// Gone, or a zombie that nobody has looked at yet.
fn gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

/// Signals a process that this test started.
fn signal(pid: u32, signal: i32) {
    let signal = Signal::try_from(signal).expect("a signal");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal).expect("kill");
}
