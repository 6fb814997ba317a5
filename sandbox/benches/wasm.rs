//! What a run in WebAssembly costs, beside two floors: a thread with the stack a guest gets, and the smallest native
//! process. One after the other on one core; each kind alternates with the others in every repeat.
//!
//! `cargo bench -p assay-sandbox --bench wasm [-- --seconds 1 --repeats 5 --json]`. CPU is this process's own and that of
//! its children, so a busy machine disturbs it little; median and worst of the repeats are printed. Outputs are checked.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assay_sandbox::{
    Executable, InputFile, Judge, Lack, Language, Limits, Prepared, Program, Sandbox, SandboxConfig,
    SandboxError, Termination, Tier,
};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// Prints 42 from `memory`; `body` comes before.
const MODULE: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") {memory})
    (data (i32.const 0) "\08\00\00\00\03\00\00\0042\n")
    {data}
    (func (export "_start") (local $i i32) {body}
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))))"#;

/// One kind of work and what each repeat took of it, in microseconds.
struct Kind<'a> {
    name: &'static str,
    work: Box<dyn Fn() + 'a>,
    cpu: Vec<f64>,
    latency: Vec<f64>,
}

impl<'a> Kind<'a> {
    fn new(name: &'static str, work: impl Fn() + 'a) -> Kind<'a> {
        Kind { name, work: Box::new(work), cpu: vec![], latency: vec![] }
    }

    fn measure(&mut self, seconds: f64) {
        let (began, cpu) = (Instant::now(), cpu_seconds());
        let mut latencies = Vec::new();
        while began.elapsed().as_secs_f64() < seconds {
            let started = Instant::now();
            (self.work)();
            latencies.push(started.elapsed().as_secs_f64() * 1e6);
        }
        self.cpu.push((cpu_seconds() - cpu) * 1e6 / latencies.len() as f64);
        latencies.sort_by(f64::total_cmp);
        self.latency.push(latencies[latencies.len() / 2]);
    }
}

fn main() {
    assay_sandbox::init();
    let config =
        SandboxConfig { tier: Some(Tier::W), without: vec![Lack::Walls], ..SandboxConfig::default() };
    let sandbox = Sandbox::start(&config).expect("a sandbox");
    let text = |memory: &str, data: &str, body: &str| {
        MODULE.replace("{memory}", memory).replace("{data}", data).replace("{body}", body)
    };
    let small = prepare(&sandbox, &text("1", "", ""));
    let megabyte = format!("(data (i32.const 65536) \"{}\")", "x".repeat(1 << 20));
    let image = prepare(&sandbox, &text("32", &megabyte, ""));
    let fill = "(memory.fill (i32.const 1024) (i32.const 1) (i32.const 16000000))";
    let touched = prepare(&sandbox, &text("256", "", fill));
    let spin = "(loop $l (br_if $l (i32.lt_u
        (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10000000))))";
    let loops = prepare(&sandbox, &text("1", "", spin));
    let counter = std::cell::Cell::new(0);
    let fresh = || {
        counter.set(counter.get() + 1);
        run(&sandbox, &prepare(&sandbox, &text("1", "", &format!("(drop (i32.const {}))", counter.get()))));
    };
    let large = vec![1; 64 << 20];
    let shown = || {
        let files = &[InputFile { name: "input", bytes: &large }];
        let judge = Judge { executable: &small, args: &[], files, limits: &Limits::DEFAULT };
        assert_eq!(sandbox.check(&judge, b"").expect("check").termination, Termination::Exited(0));
    };
    let turns = "n = 0\nfor i in range(1_000_000): n += i & 1\nprint(42)";
    let [line, turns] = ["print(42)", turns].map(|source| python(&sandbox, source));
    let mut kinds = vec![
        Kind::new("floor: a thread with 72 MiB of stack", thread),
        Kind::new("floor: /bin/true", || {
            let mut command = Command::new("/bin/true");
            assert!(command.env_clear().stdin(Stdio::null()).status().expect("/bin/true").success());
        }),
        Kind::new("small module", || run(&sandbox, &small)),
        Kind::new("1 MiB of data", || run(&sandbox, &image)),
        Kind::new("16 MiB written", || run(&sandbox, &touched)),
        Kind::new("10^7 turns of a loop", || run(&sandbox, &loops)),
        Kind::new("small module, shown 64 MiB of files", shown),
        Kind::new("small module, new: compiled and run", fresh),
    ];
    if let (Some(line), Some(turns)) = (&line, &turns) {
        kinds.push(Kind::new("python-wasi, one line", || run(&sandbox, line)));
        kinds.push(Kind::new("python-wasi, 10^6 turns of a loop", || run(&sandbox, turns)));
    }
    kinds.iter().for_each(|kind| (kind.work)());
    let (seconds, repeats) = (option("--seconds").unwrap_or(1.0), option("--repeats").unwrap_or(5.0));
    for _ in 0..repeats as usize {
        kinds.iter_mut().for_each(|kind| kind.measure(seconds));
    }
    report(&mut kinds, std::env::args().any(|argument| argument == "--json"));
}

fn report(kinds: &mut [Kind<'_>], json: bool) {
    let mut rows = Vec::new();
    for kind in kinds {
        let [cpu, worst] = [0.5, 1.0].map(|q| quantile(&mut kind.cpu, q));
        let [latency, late] = [0.5, 1.0].map(|q| quantile(&mut kind.latency, q));
        rows.push((kind.name, [cpu, worst, latency, late]));
    }
    if json {
        let row = |(name, [cpu, worst, latency, late]): (&str, [f64; 4])| {
            format!(
                "\"{name}\": {{\"cpu_us\": {cpu:.1}, \"worst_cpu_us\": {worst:.1}, \"p50_us\": {latency:.1}, \
                 \"worst_p50_us\": {late:.1}}}"
            )
        };
        println!("{{{}}}", rows.into_iter().map(row).collect::<Vec<_>>().join(", "));
        return;
    }
    println!("{:40} {:>9} {:>9} {:>9} {:>9}", "", "CPU us", "worst", "p50 us", "worst");
    for (name, [cpu, worst, latency, late]) in rows {
        println!("{name:40} {cpu:>9.1} {worst:>9.1} {latency:>9.1} {late:>9.1}");
    }
}

fn prepare(sandbox: &Sandbox, text: &str) -> Executable {
    let module = wat::parse_str(text).expect("a module");
    match sandbox.prepare(&Program::new(Language::Wasm, module), &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => executable,
        Prepared::Refused(outcome) => panic!("{}", String::from_utf8_lossy(&outcome.stderr)),
    }
}

/// None where no interpreter is configured.
fn python(sandbox: &Sandbox, source: &str) -> Option<Executable> {
    let language = Language::from_name("python-wasi").expect("a language");
    match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE) {
        Ok(Prepared::Ready(executable)) => Some(executable),
        Err(SandboxError::Unavailable(_)) => None,
        other => panic!("{other:?}"),
    }
}

fn run(sandbox: &Sandbox, executable: &Executable) {
    let limits = Limits { cpu_time: Duration::from_secs(10), ..Limits::DEFAULT };
    let outcome = sandbox.run(executable, b"", &limits).expect("run");
    assert_eq!((outcome.termination, &outcome.stdout[..]), (Termination::Exited(0), &b"42\n"[..]));
}

fn thread() {
    let builder = std::thread::Builder::new().stack_size(72 << 20);
    builder.spawn(|| ()).expect("a thread").join().expect("its end");
}

/// User and system time of this process and of its children that ended.
fn cpu_seconds() -> f64 {
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let used =
        [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].map(|who| getrusage(who).expect("getrusage"));
    used.iter().map(|usage| seconds(usage.user_time()) + seconds(usage.system_time())).sum()
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * q).round() as usize]
}

/// What stands behind an option of the command line.
fn option(name: &str) -> Option<f64> {
    std::env::args().skip_while(|argument| argument != name).nth(1)?.parse().ok()
}
