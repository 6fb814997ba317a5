//! What a run costs: CPU and wall time of a trivial program in the box beside the bare interpreter.
//!
//! `cargo run -p assay-sandbox --example cost [ROUNDS]`. CPU time is this process's and all its descendants', from
//! the kernel's own account; rounds of the three kinds alternate, and medians of ten blocks are printed.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assay_sandbox::{Executable, Language, Limits, Prepared, Program, Sandbox, SandboxConfig};

/// One kind of run, in milliseconds per run, one value per block.
#[derive(Default)]
struct Kind {
    name: &'static str,
    cpu: Vec<f64>,
    wall: Vec<f64>,
    charged: Vec<f64>,
}

fn main() {
    assay_sandbox::init();
    let rounds: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20);
    let python = std::env::var("ASSAY_PYTHON").unwrap_or_else(|_| interpreter());
    let sandbox = Sandbox::start(&SandboxConfig { slots: 1, ..SandboxConfig::default() }).expect("a sandbox");
    let in_python = prepare(&sandbox, Language::Python3, "pass");
    let native = prepare(&sandbox, Language::Cpp17, "int main() {}");
    let boxed = |executable: &Executable| {
        let outcome = sandbox.run(executable, b"", &Limits::DEFAULT).expect("run");
        outcome.usage.cpu_time
    };
    let bare = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.args(arguments).env_clear().stdin(Stdio::null());
        assert!(command.status().expect("the interpreter").success());
    };
    let mut kinds = ["python, boxed", "native, boxed", "python -I -S, bare", "python -I, bare"]
        .map(|name| Kind { name, ..Kind::default() });
    for _ in 0..10 {
        for (index, kind) in kinds.iter_mut().enumerate() {
            let (cpu_before, wall_before) = (family_cpu(), Instant::now());
            let mut usage = Duration::ZERO;
            for _ in 0..rounds {
                match index {
                    0 => usage += boxed(&in_python),
                    1 => usage += boxed(&native),
                    2 => bare(&["-I", "-S", "-c", "pass"]),
                    _ => bare(&["-I", "-c", "pass"]),
                }
            }
            let each = |time: Duration| time.as_secs_f64() * 1e3 / rounds as f64;
            kind.cpu.push(each(family_cpu() - cpu_before));
            kind.wall.push(each(wall_before.elapsed()));
            kind.charged.push(each(usage));
        }
    }
    println!("{:20} {:>10} {:>10} {:>16}", "ms per run", "CPU", "wall", "CPU charged");
    for Kind { name, cpu, wall, charged } in &mut kinds {
        println!("{name:20} {:>10.2} {:>10.2} {:>16.2}", median(cpu), median(wall), median(charged));
    }
}

fn prepare(sandbox: &Sandbox, language: Language, source: &str) -> Executable {
    match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => executable,
        Prepared::Refused(outcome) => panic!("{}", String::from_utf8_lossy(&outcome.stderr)),
    }
}

/// Behind a shell shim of PATH, the interpreter itself.
fn interpreter() -> String {
    let ask = ["-I", "-c", "import sys, os; print(os.path.realpath(sys.executable))"];
    let output = Command::new("python3").args(ask).output().expect("python3");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// CPU time of this process and everything below it, ended children included.
fn family_cpu() -> Duration {
    fn ticks(pid: u32) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let own: u64 = (11..15).filter_map(|at| fields.get(at)?.parse::<u64>().ok()).sum();
        let mut below = 0;
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            below += text.split_whitespace().filter_map(|child| child.parse().ok()).map(ticks).sum::<u64>();
        }
        own + below
    }
    Duration::from_millis(ticks(std::process::id()) * 10)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
