//! Every language: what it prints, what it reads, how it is refused, how it fails, and the two limits that differ most
//! between runtimes. A language whose tool this machine lacks has nothing to run, and that is printed with what to
//! install.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use assay_sandbox::Termination::{CpuTimeLimit, Exited, MemoryLimit};
use assay_sandbox::{
    Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxConfig, SandboxError, Termination,
};
use libtest_mimic::{Arguments, Trial};

fn main() {
    assay_sandbox::init();
    let arguments = Arguments::from_args();
    // Started by the first test that needs it: listing tests starts nothing.
    let shared: Shared = Arc::default();
    let mut trials: Vec<Trial> = ROWS
        .iter()
        .flat_map(|row| PARTS.iter().map(move |(part, check)| (row, *part, *check)))
        .map(|(row, part, check)| {
            let shared = Arc::clone(&shared);
            Trial::test(format!("{}_{part}", row.language), move || {
                let language = Language::from_name(row.language).ok_or("no such language")?;
                let sandbox = shared.get_or_init(|| start(SandboxConfig::default()));
                match check(sandbox, language, row) {
                    Err(SandboxError::Unavailable(why)) if !language.is_needed() => {
                        println!("{}_{part} had nothing to run: {why}", row.language);
                        Ok(())
                    }
                    other => Ok(other?),
                }
            })
        })
        .collect();
    trials.push(Trial::test("all_languages_have_a_row", || {
        for language in Language::all() {
            // Modules and what is compiled to them have tests of their own, `wasm.rs`.
            let module = ["wasm", "c-wasi", "cpp-wasi"].contains(&language.name());
            let tested = module || ROWS.iter().any(|row| row.language == language.name());
            assert!(tested, "{language} has no row");
        }
        Ok(())
    }));
    trials.push(Trial::test("a_venv_is_a_language_of_its_own", || {
        venv();
        Ok(())
    }));
    trials.push(Trial::test("a_tool_that_is_not_there_says_what_to_install", || {
        missing();
        Ok(())
    }));
    trials.push(Trial::test("a_tool_that_does_not_work_is_no_fault_of_the_program", || {
        broken();
        Ok(())
    }));
    trials.push(Trial::test("a_precompiled_header_changes_nothing_but_the_time", || {
        header();
        Ok(())
    }));
    trials.extend(NO_PROGRAMS.iter().map(|(language, name, source)| {
        Trial::test(format!("{language}_{name}_is_no_failure_of_ours"), move || {
            Ok(no_program(language, source)?)
        })
    }));
    trials.push(Trial::test("a_runtime_leaves_nothing_to_the_next", || {
        leftovers();
        Ok(())
    }));
    trials.push(Trial::test("a_cold_runtime_changes_no_verdict", || Ok(cold()?)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(shared);
    conclusion.exit();
}

type Shared = Arc<OnceLock<Sandbox>>;

fn start(config: SandboxConfig) -> Sandbox {
    Sandbox::start(&SandboxConfig { slots: 1, ..config }).expect("a sandbox")
}

/// Sources that their compilers are content with and that make no program. What could not be found or executed then was
/// once a failure of ours, so a submission could have no verdict at all.
const NO_PROGRAMS: &[(&str, &str, &str)] = &[
    ("java", "nothing", "// nothing"),
    ("go", "library", "package library\n"),
    ("rust", "library", "#![crate_type = \"lib\"]\npub fn f() {}"),
    ("rust", "shared_library", "#![crate_type = \"cdylib\"]\n#[no_mangle] pub extern \"C\" fn f() {}"),
    ("typescript", "nothing", "// nothing"),
    (
        "cpp17",
        "loader",
        "__attribute__((section(\".interp\"), used)) const char loader[] = \"/none\";\nint main() {}",
    ),
];

/// It is refused, or ends badly by itself.
fn no_program(language: &str, source: &str) -> Result<(), SandboxError> {
    let known = Language::from_name(language).expect("a language");
    let sandbox = start(SandboxConfig::default());
    let outcome = match sandbox.prepare(&Program::new(known, source), &Limits::COMPILE) {
        Ok(Prepared::Refused(outcome)) => {
            assert!(outcome.refused, "{outcome:?}");
            outcome
        }
        Ok(Prepared::Ready(executable)) => sandbox.run(&executable, b"", &Limits::DEFAULT)?,
        Err(SandboxError::Unavailable(why)) if !known.is_needed() => {
            println!("nothing to run: {why}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    println!(
        "{:?}, refused {}: {}",
        outcome.termination,
        outcome.refused,
        String::from_utf8_lossy(&outcome.stderr)
    );
    Ok(())
}

/// Programs of one language.
struct Row {
    language: &'static str,
    /// Prints `hello`, and `complaint` to its standard error.
    hello: &'static str,
    /// Reads two numbers and prints their sum.
    sum: &'static str,
    /// Not a program.
    wrong: &'static str,
    /// Fails while it runs, not for a limit.
    fails: &'static str,
    spins: &'static str,
    /// Takes memory for ever.
    grows: &'static str,
}

type Check = fn(&Sandbox, Language, &Row) -> Result<(), SandboxError>;

const PARTS: &[(&str, Check)] = &[
    ("prints", prints),
    ("reads", reads),
    ("is_refused", is_refused),
    ("fails", fails),
    ("is_stopped_for_time", is_stopped_for_time),
    ("is_stopped_for_memory", is_stopped_for_memory),
];

fn run(sandbox: &Sandbox, language: Language, source: &str, stdin: &str) -> Result<Outcome, SandboxError> {
    let limits =
        Limits { cpu_time: Duration::from_secs(2), wall_time: Duration::from_secs(10), ..Limits::DEFAULT };
    match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE)? {
        Prepared::Ready(executable) => sandbox.run(&executable, stdin.as_bytes(), &limits),
        Prepared::Refused(outcome) => Ok(outcome),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn end(outcome: &Outcome) -> (Termination, bool) {
    (outcome.termination, outcome.refused)
}

fn prints(sandbox: &Sandbox, language: Language, row: &Row) -> Result<(), SandboxError> {
    let outcome = run(sandbox, language, row.hello, "")?;
    assert_eq!(
        (end(&outcome), text(&outcome.stdout).as_str(), text(&outcome.stderr).as_str()),
        ((Exited(0), false), "hello\n", "complaint\n")
    );
    Ok(())
}

fn reads(sandbox: &Sandbox, language: Language, row: &Row) -> Result<(), SandboxError> {
    let outcome = run(sandbox, language, row.sum, "20\n22\n")?;
    assert_eq!((end(&outcome), text(&outcome.stdout).trim()), ((Exited(0), false), "42"), "{outcome:?}");
    Ok(())
}

fn is_refused(sandbox: &Sandbox, language: Language, row: &Row) -> Result<(), SandboxError> {
    let outcome = run(sandbox, language, row.wrong, "")?;
    // A runtime without a compiler says so when it runs.
    let refused = language.is_compiled() || language.is_like(Language::Python3);
    assert_eq!(outcome.refused, refused, "{outcome:?}");
    assert!(matches!(outcome.termination, Exited(1..)), "{outcome:?}");
    assert!(outcome.stdout.len() + outcome.stderr.len() > 0, "no message: {outcome:?}");
    Ok(())
}

fn fails(sandbox: &Sandbox, language: Language, row: &Row) -> Result<(), SandboxError> {
    let outcome = run(sandbox, language, row.fails, "")?;
    let failed = matches!(outcome.termination, Exited(1..) | Termination::Signaled(_));
    assert!(failed && !outcome.refused, "{outcome:?}");
    Ok(())
}

fn is_stopped_for_time(sandbox: &Sandbox, language: Language, row: &Row) -> Result<(), SandboxError> {
    let outcome = run(sandbox, language, row.spins, "")?;
    assert_eq!(end(&outcome), (CpuTimeLimit, false), "{outcome:?}");
    Ok(())
}

fn is_stopped_for_memory(sandbox: &Sandbox, language: Language, row: &Row) -> Result<(), SandboxError> {
    let outcome = run(sandbox, language, row.grows, "")?;
    assert_eq!(end(&outcome), (MemoryLimit, false), "{outcome:?}");
    Ok(())
}

/// The file of a runtime is charged to the group that first reads it. A program that filled its memory then did not
/// die: the kernel found the runtime's own pages to take away, and read them again at the next instruction. It ended
/// two seconds of CPU later, for its time, on a machine that had not run this runtime for a while.
fn cold() -> Result<(), SandboxError> {
    for row in ROWS.iter().filter(|row| ["javascript", "pypy3"].contains(&row.language)) {
        let language = Language::from_name(row.language).expect("a language");
        let sandbox = start(SandboxConfig::default());
        for command in ["node", "nodejs", "pypy3"] {
            forget(command);
        }
        match is_stopped_for_memory(&sandbox, language, row) {
            Err(SandboxError::Unavailable(why)) => println!("{language} had nothing to run: {why}"),
            other => other?,
        }
    }
    Ok(())
}

/// Has the kernel give up what it keeps of a command's file and of the libraries beside it.
fn forget(command: &str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).find_map(|directory| directory.join(command).canonicalize().ok());
    let Some(directory) = found.as_deref().and_then(Path::parent) else { return };
    let libraries = directory.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let libraries = libraries.filter(|path| path.to_string_lossy().contains(".so"));
    for file in libraries.chain(found.clone()).filter_map(|path| std::fs::File::open(path).ok()) {
        let all = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        let _ = nix::fcntl::posix_fadvise(&file, 0, 0, all);
    }
}

const C: Row = Row {
    language: "c",
    hello: "#include <stdio.h>\nint main() { puts(\"hello\"); fputs(\"complaint\\n\", stderr); }",
    sum: "#include <stdio.h>\nint main() { int a, b; scanf(\"%d %d\", &a, &b); printf(\"%d\\n\", a + b); }",
    wrong: "int main() { return x; }",
    fails: "#include <stdlib.h>\nint main() { abort(); }",
    spins: "int main() { for (volatile int i = 0;; i++); }",
    grows: "#include <stdlib.h>\n#include <string.h>\nint main() { for (;;) memset(malloc(1 << 20), 1, 1 << 20); }",
};

const CPP: Row = Row {
    language: "cpp17",
    hello: "#include <iostream>\nint main() { std::cout << \"hello\\n\"; std::cerr << \"complaint\\n\"; }",
    sum: "#include <bits/stdc++.h>\nusing namespace std;\nint main() { int a, b; cin >> a >> b; cout << a + b << endl; }",
    wrong: "int main() { return x; }",
    fails: "#include <stdexcept>\nint main() { throw std::runtime_error(\"x\"); }",
    spins: C.spins,
    grows: "#include <cstring>\nint main() { for (;;) std::memset(new char[1 << 20], 1, 1 << 20); }",
};

const PYTHON: Row = Row {
    language: "python3",
    hello: "import sys\nprint('hello')\nprint('complaint', file=sys.stderr)",
    sum: "print(int(input()) + int(input()))",
    wrong: "def f(:",
    fails: "1 // 0",
    spins: "while True: pass",
    grows: "a = []\nwhile True: a.append('x' * 1000000)",
};

const JAVASCRIPT: Row = Row {
    language: "javascript",
    hello: "console.log('hello'); console.error('complaint')",
    sum: "const [a, b] = require('fs').readFileSync(0, 'utf8').split('\\n').map(Number); console.log(a + b)",
    wrong: "function (",
    fails: "throw new Error('x')",
    spins: "for (;;);",
    grows: "const a = []; for (;;) a.push(new Array(100000).fill(a.length + 0.5))",
};

const ROWS: &[Row] = &[
    PYTHON,
    Row { language: "pypy3", ..PYTHON },
    Row { language: "python-wasi", ..PYTHON },
    C,
    CPP,
    Row {
        language: "cpp20",
        sum: "#include <bits/stdc++.h>\nint main() { int a, b; std::cin >> a >> b; auto v = std::views::single(a + b); std::cout << v[0]; }",
        ..CPP
    },
    Row {
        language: "cpp23",
        sum: "#include <iostream>\n#include <expected>\nint main() { int a, b; std::cin >> a >> b; std::expected<int, int> e = a + b; std::cout << *e; }",
        ..CPP
    },
    Row {
        language: "rust",
        hello: "fn main() { println!(\"hello\"); eprintln!(\"complaint\"); }",
        sum: "fn main() { let s: i32 = std::io::stdin().lines().map(|l| l.unwrap().parse::<i32>().unwrap()).sum(); println!(\"{s}\"); }",
        wrong: "fn main() { x }",
        fails: "fn main() { panic!(); }",
        spins: "fn main() { let mut i = 0u64; loop { i = std::hint::black_box(i + 1); } }",
        grows: "fn main() { let mut a = vec![]; loop { a.push(std::hint::black_box(vec![1u8; 1 << 20])); } }",
    },
    Row {
        language: "go",
        hello: "package main\nimport (\"fmt\"; \"os\")\nfunc main() { fmt.Println(\"hello\"); fmt.Fprintln(os.Stderr, \"complaint\") }",
        sum: "package main\nimport \"fmt\"\nfunc main() { var a, b int; fmt.Scan(&a, &b); fmt.Println(a + b) }",
        wrong: "package main\nfunc main() { x }",
        fails: "package main\nfunc main() { panic(1) }",
        spins: "package main\nfunc main() { for { } }",
        grows: "package main\nfunc main() { var a [][]byte; for { b := make([]byte, 1<<20); for i := range b { b[i] = 1 }; a = append(a, b) } }",
    },
    Row {
        language: "java",
        hello: "public class Hello { static class Inner {} public static void main(String[] a) { new Inner(); System.out.println(\"hello\"); System.err.println(\"complaint\"); } }",
        sum: "import java.util.*;\nclass Main { public static void main(String[] a) { Scanner s = new Scanner(System.in); System.out.println(s.nextInt() + s.nextInt()); } }",
        wrong: "class Main { int f() { return x; } }",
        fails: "class Main { public static void main(String[] a) { throw new RuntimeException(); } }",
        spins: "class Main { public static void main(String[] a) { for (long i = 0;; i++) if (i < 0) break; } }",
        grows: "import java.util.*;\nclass Main { public static void main(String[] a) { List<long[]> l = new ArrayList<>(); for (;;) { long[] x = new long[100000]; Arrays.fill(x, 1); l.add(x); } } }",
    },
    JAVASCRIPT,
    Row {
        language: "typescript",
        sum: "import * as fs from 'fs';\nconst [a, b]: number[] = fs.readFileSync(0, 'utf8').split('\\n').map(Number);\nconsole.log(a + b);",
        ..JAVASCRIPT
    },
];

/// An interpreter of a virtual environment is a language by one entry: its packages are there, and not in the usual one.
fn venv() {
    let place = tempfile::tempdir_in("/var/tmp").expect("a directory");
    open_to_all(place.path());
    let venv = place.path().join("venv");
    let made =
        std::process::Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&venv).output();
    if !made.as_ref().is_ok_and(|output| output.status.success()) {
        println!("a_venv_is_a_language_of_its_own had nothing to run: {made:?}");
        return;
    }
    let site =
        std::fs::read_dir(venv.join("lib")).expect("lib").next().expect("a version").expect("a version");
    std::fs::write(site.path().join("site-packages/its_own.py"), "ANSWER = 42").expect("a module");
    let file = place.path().join("languages.toml");
    let python = venv.join("bin/python");
    let entry =
        format!("[[language]]\nname = 'python3-venv'\nlike = 'python3'\ninterpreter = {:?}\n", python);
    std::fs::write(&file, entry).expect("a file of languages");
    let sandbox = start(SandboxConfig { languages: Some(file), ..SandboxConfig::default() });
    let language = Language::from_name("python3-venv").expect("the file's language");
    let source = "import sys\ntry: from its_own import ANSWER\nexcept ImportError: ANSWER = 0\nprint(ANSWER, sys.prefix)";
    for _ in 0..2 {
        let outcome = run(&sandbox, language, source, "").expect("run");
        assert_eq!(text(&outcome.stdout), format!("42 {}\n", venv.display()), "{}", text(&outcome.stderr));
        let outcome = run(&sandbox, Language::Python3, source, "").expect("run");
        assert!(text(&outcome.stdout).starts_with("0 "), "{outcome:?}");
    }
    let state = sandbox.doctor().languages.into_iter().find(|state| state.language == language);
    assert!(state.as_ref().is_some_and(|state| state.ok && state.version.starts_with("3.")), "{state:?}");
}

/// TypeScript's compiler came to consist of two packages, of which the box showed one, and ended with 1 whatever it was
/// told: so all programs counted as refused.
fn broken() {
    let place = tempfile::tempdir_in("/var/tmp").expect("a directory");
    open_to_all(place.path());
    let tool = place.path().join("bin/broken");
    std::fs::create_dir(place.path().join("bin")).expect("a directory");
    std::fs::copy("/bin/false", &tool).expect("a tool");
    let file = place.path().join("languages.toml");
    let entries = format!(
        "[[language]]\nname = 'c-broken'\nlike = 'c'\ncompiler = {tool:?}\n\
         [[language]]\nname = 'js-broken'\nlike = 'javascript'\ninterpreter = {tool:?}\n"
    );
    std::fs::write(&file, entries).expect("a file of languages");
    let sandbox = start(SandboxConfig { languages: Some(file), ..SandboxConfig::default() });
    for (name, row) in [("c-broken", &C), ("js-broken", &JAVASCRIPT)] {
        let language = Language::from_name(name).expect("the file's language");
        match run(&sandbox, language, row.hello, "") {
            Err(SandboxError::Unavailable(why)) => assert!(why.contains("Exited(1)"), "{why}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// A language whose tool is not there is refused with what to install, and takes nothing else along.
fn missing() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("languages.toml");
    let entry = "[[language]]\nname = 'nothing'\nlike = 'java'\n\
                 interpreter = { commands = ['no-such-java'], install = 'a Java of yours' }\n";
    std::fs::write(&file, entry).expect("a file of languages");
    let sandbox = start(SandboxConfig { languages: Some(file), ..SandboxConfig::default() });
    let language = Language::from_name("nothing").expect("the file's language");
    match sandbox.prepare(&Program::new(language, "class A {}"), &Limits::COMPILE) {
        Err(SandboxError::Unavailable(text)) => {
            assert!(text.contains("no usable no-such-java") && text.contains("a Java of yours"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let doctor = sandbox.doctor();
    let state = doctor.languages.iter().find(|state| state.language == language).expect("a state");
    assert!(!state.ok && state.hint.contains("a Java of yours"), "{state:?}");
    assert!(doctor.ok(), "{doctor:?}");
}

/// What a program leaves in its /tmp, and its very source, are gone when the next one of its language comes to the slot.
fn leftovers() {
    let sandbox = start(SandboxConfig::default());
    let language = Language::from_name("javascript").expect("a language");
    let source = "const fs = require('fs'); console.log(fs.readdirSync('/tmp').length, fs.readdirSync('/box').join());\n\
                  fs.writeFileSync('/tmp/a', 'x'); fs.mkdirSync('/tmp/b'); fs.symlinkSync('/box', '/tmp/c');";
    for _ in 0..3 {
        match run(&sandbox, language, source, "") {
            Ok(outcome) => assert_eq!(text(&outcome.stdout), "0 main.js\n", "{}", text(&outcome.stderr)),
            Err(error) => {
                return println!("a_runtime_leaves_nothing_to_the_next had nothing to run: {error}");
            }
        }
    }
}

/// Sources with the precompiled header and without: the same messages, the same output. Those that put something before
/// the include, change macros or options, or include it late must not notice that it is there.
fn header() {
    const SOURCES: &[&str] = &[
        "#include <bits/stdc++.h>\nint main() { std::cout << std::vector<int>{1, 2}.size(); }",
        "// a comment\n\n#include <bits/stdc++.h>\nint main() { std::cout << __LINE__ << __FILE__ << __COUNTER__; }",
        "#define max(a, b) 7\n#include <bits/stdc++.h>\nint main() { std::cout << max(1, 2); }",
        "#define _GLIBCXX_DEBUG\n#include <bits/stdc++.h>\nint main() { std::vector<int> v; std::cout << sizeof v; }",
        "#define _GLIBCXX_ASSERTIONS\n#include <bits/stdc++.h>\nint main() { std::vector<int> v; volatile int n = 0; return v[n]; }",
        "#define NDEBUG\n#include <bits/stdc++.h>\nint main() { assert(false); std::cout << 1; }",
        "#pragma GCC optimize(\"O3\")\n#include <bits/stdc++.h>\nint main() { std::cout << __OPTIMIZE__; }",
        "#pragma GCC target(\"avx2\")\n#include <bits/stdc++.h>\n#ifdef __AVX2__\nint main() { std::cout << 2; }\n#else\nint main() { std::cout << 1; }\n#endif",
        "int before;\n#include <bits/stdc++.h>\nint main() { std::cout << before; }",
        "#include <cstdio>\n#include <bits/stdc++.h>\nint main() { std::cout << EOF; }",
        "#include <bits/stdc++.h>\n#include <bits/stdc++.h>\nint main() { std::cout << __cplusplus; }",
        "#ifdef _GLIBCXX_IOSTREAM\nint early = 1;\n#else\nint early = 0;\n#endif\n#include <bits/stdc++.h>\nint main() { std::cout << early; }",
        "#include <bits/stdc++.h>\nint main() { std::vector<int> v = \"no\"; std::sort(1, 2); }",
        "#include <bits/stdc++.h>\n#warning spoken\nint unused(int x) { if (x = 1) return 2; }\nint main() {}",
        "#include \"bits/stdc++.h\"\nint main() { std::cout << 3; }",
        "#if __has_include(<bits/stdc++.h>)\n#include <bits/stdc++.h>\n#endif\nint main() { std::cout << __INCLUDE_LEVEL__; }",
        "#include_next <bits/stdc++.h>\nint main() { std::cout << 4; }",
        // #include <bits/stdc++.h>
        "int main() { return 3; }",
    ];
    let cache = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let plain = start(SandboxConfig { kept_programs: Some(0), ..SandboxConfig::default() });
    let config = SandboxConfig {
        kept_programs: Some(0),
        cache: Some(cache.path().into()),
        ..SandboxConfig::default()
    };
    let with_header = start(config);
    // Compiling is slow, so the other standards try the first alone.
    for (name, sources) in [("cpp17", SOURCES), ("cpp20", &SOURCES[..1])] {
        let language = Language::from_name(name).expect("a language");
        for source in sources {
            let [plain, with_header] = [&plain, &with_header].map(|sandbox| {
                let outcome = run(sandbox, language, source, "").expect("run");
                (end(&outcome), text(&outcome.stdout), text(&outcome.stderr))
            });
            assert_eq!(plain, with_header, "{source}");
        }
    }
    let kept = cache.path().join("headers").read_dir().expect("headers").count();
    assert_eq!(kept, 2, "a header for each standard");
}
