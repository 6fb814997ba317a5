//! What compiling costs: each program of `programs/`, in turn by plain g++ with the same flags, in the box, and in the box
//! with the precompiled header; linked statically, as programs of the sandbox are, and dynamically. CPU time as the
//! kernel counts it: of the compiler's processes, or of its control group. Then what a run pays for a program that was
//! compiled before.
//!
//! ```text
//! cargo bench -p assay-sandbox --bench compile -- [--json] [--repeats 3]
//! ```

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use assay_sandbox::{Executable, Language, Limits, Prepared, Program, Sandbox, SandboxConfig};

/// As cpp17 is in `languages.toml`, but for the linking.
const DYNAMIC: &str = r#"
[[language]]
name = "cpp17-dynamic"
like = "cpp17"
compile = ["-std=gnu++17", "-O2", "-pipe", "-s", "-x", "c++", "{source}", "-o", "{output}"]
"#;
const FLAGS: [&str; 6] = ["-std=gnu++17", "-O2", "-pipe", "-s", "-x", "c++"];

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
    let place = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let languages = place.path().join("languages.toml");
    std::fs::File::create(&languages)
        .and_then(|mut file| file.write_all(DYNAMIC.as_bytes()))
        .expect("a file");
    let config = SandboxConfig {
        slots: 1,
        kept_programs: Some(0),
        languages: Some(languages),
        ..SandboxConfig::default()
    };
    let boxed = Sandbox::start(&config).expect("a sandbox");
    let cache = Some(place.path().join("cache"));
    let quick = Sandbox::start(&SandboxConfig { cache, ..config }).expect("a sandbox");
    let programs = programs();
    for (linking, name, flag) in [("static", "cpp17", Some("-static")), ("dynamic", "cpp17-dynamic", None)] {
        let language = Language::from_name(name).expect("a language");
        // The header is made by the first program that names it.
        compile(&quick, language, &programs[0].1);
        let (mut in_box, mut with_header) = (Vec::new(), Vec::new());
        for (name, source) in &programs {
            let file = place.path().join("main.cpp");
            std::fs::write(&file, source).expect("a source");
            let median =
                |time: &dyn Fn() -> Duration| middle((0..repeats).map(|_| time().as_secs_f64()).collect());
            let plain = median(&|| plain(&file, flag));
            let (without, with) = (
                median(&|| compile(&boxed, language, source)),
                median(&|| compile(&quick, language, source)),
            );
            in_box.push(without / plain);
            with_header.push(with / plain);
            if json {
                println!(
                    "{{\"linking\":{linking:?},\"program\":{name:?},\"plain_cpu_s\":{plain:.3},\
                     \"box_cpu_s\":{without:.3},\"header_cpu_s\":{with:.3}}}"
                );
            } else {
                println!(
                    "{linking:8} {name:14} g++ {plain:.3} s, in the box {without:.3} s, with the header {with:.3} s: \
                     {:.2}x",
                    with / plain
                );
            }
        }
        let (in_box, with_header) = (middle(in_box), middle(with_header));
        if json {
            println!(
                "{{\"linking\":{linking:?},\"median_box\":{in_box:.3},\"median_header\":{with_header:.3}}}"
            );
        } else {
            println!(
                "{linking:8} median: in the box {in_box:.3}x, with the header {with_header:.3}x of plain g++"
            );
        }
    }
    let overhead = cached_overhead(&programs[0].1).as_secs_f64() * 1e3;
    if json {
        println!("{{\"cached_overhead_ms\":{overhead:.4}}}");
    } else {
        println!("a program compiled before is there in {overhead:.4} ms");
    }
}

/// CPU time of plain g++, its stages and the linker.
fn plain(source: &Path, linking: Option<&str>) -> Duration {
    let before = children();
    let output = source.with_file_name("program");
    let status = Command::new("g++").args(FLAGS).arg(source).args(["-o"]).arg(output).args(linking).status();
    assert!(status.expect("g++").success());
    children() - before
}

/// CPU time of the children of this process that ended.
fn children() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).expect("usage");
    let time = |value: nix::sys::time::TimeVal| {
        Duration::from_secs(value.tv_sec() as u64) + Duration::from_micros(value.tv_usec() as u64)
    };
    time(usage.user_time()) + time(usage.system_time())
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
