//! What compiling costs: each program of `programs/`, in turn plain and with the precompiled header, by CPU time of the
//! compiler as the control group counts it; then what a run pays for a program that was compiled before.
//!
//! ```text
//! cargo bench -p assay-sandbox --bench compile -- [--json] [--repeats 3]
//! ```

use std::path::Path;
use std::time::{Duration, Instant};

use assay_sandbox::{Executable, Language, Limits, Prepared, Program, Sandbox, SandboxConfig};

fn main() {
    assay_sandbox::init();
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test` starts benches too, without this word.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let json = arguments.iter().any(|argument| argument == "--json");
    let repeats = arguments.iter().skip_while(|argument| *argument != "--repeats").nth(1);
    let repeats: usize = repeats.map_or(3, |text| text.parse().expect("--repeats is a number"));
    let cache = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let config = SandboxConfig { slots: 1, kept_programs: Some(0), ..SandboxConfig::default() };
    let plain = Sandbox::start(&config).expect("a sandbox");
    let with_header = Sandbox::start(&SandboxConfig { cache: Some(cache.path().into()), ..config.clone() })
        .expect("a sandbox");
    let programs = programs();
    // The header is made by the first program that names it.
    compile(&with_header, Language::Cpp17, &programs[0].1);
    let mut ratios = Vec::new();
    for (name, source) in &programs {
        let median = |sandbox: &Sandbox| {
            let times = (0..repeats).map(|_| compile(sandbox, Language::Cpp17, source).as_secs_f64());
            middle(times.collect())
        };
        let (without, with) = (median(&plain), median(&with_header));
        ratios.push(with / without);
        if json {
            println!("{{\"program\":{name:?},\"plain_cpu_s\":{without:.3},\"header_cpu_s\":{with:.3}}}");
        } else {
            println!("{name:20} plain {without:.3} s, with header {with:.3} s: {:.2}", with / without);
        }
    }
    let ratio = middle(ratios);
    let overhead = cached_overhead(&programs[0].1);
    if json {
        println!(
            "{{\"median_ratio\":{ratio:.3},\"cached_overhead_ms\":{:.4}}}",
            overhead.as_secs_f64() * 1e3
        );
    } else {
        println!("median ratio {ratio:.3}; a program compiled before: {overhead:?}");
    }
}

fn programs() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/programs");
    let mut programs: Vec<(String, String)> = std::fs::read_dir(folder)
        .expect("programs")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a source"))
        })
        .collect();
    programs.sort();
    programs
}

fn prepare(sandbox: &Sandbox, language: Language, source: &str) -> Executable {
    match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => executable,
        Prepared::Refused(outcome) => panic!("{}", String::from_utf8_lossy(&outcome.stderr)),
    }
}

/// The compiler's CPU time.
fn compile(sandbox: &Sandbox, language: Language, source: &str) -> Duration {
    prepare(sandbox, language, source).compiling().expect("a compiled program").cpu_time
}

/// How long `prepare` takes for a source that was compiled before.
fn cached_overhead(source: &str) -> Duration {
    let sandbox = Sandbox::start(&SandboxConfig { slots: 1, ..SandboxConfig::default() }).expect("a sandbox");
    prepare(&sandbox, Language::Cpp17, source);
    let mut times: Vec<Duration> = (0..101)
        .map(|_| {
            let start = Instant::now();
            prepare(&sandbox, Language::Cpp17, source);
            start.elapsed()
        })
        .collect();
    times.sort();
    times[50]
}

fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
