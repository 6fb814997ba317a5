//! Programs with a directory of their own: what they find there, what is taken out, and what is not.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use assay_sandbox::Termination::{self, CpuTimeLimit, Exited};
use assay_sandbox::{
    Executable, Fetched, Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxConfig, SandboxError,
    Tier, Workplace,
};
use libtest_mimic::{Arguments, Trial};

fn main() {
    assay_sandbox::init();
    let arguments = Arguments::from_args();
    let shared: Shared = Arc::default();
    let mut trials: Vec<Trial> = ROWS
        .iter()
        .map(|row| {
            let shared = Arc::clone(&shared);
            Trial::test(row.name, move || {
                check(sandbox(&shared), row);
                Ok(())
            })
        })
        .collect();
    trials.extend(CHECKS.iter().map(|(name, check)| {
        let shared = Arc::clone(&shared);
        Trial::test(*name, move || {
            check(sandbox(&shared));
            Ok(())
        })
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(shared);
    conclusion.exit();
}

type Shared = Arc<OnceLock<Sandbox>>;

/// One slot of each kind, so that what a run leaves meets the next.
fn sandbox(shared: &Shared) -> &Sandbox {
    let config = SandboxConfig { slots: 1, ..SandboxConfig::default() };
    shared.get_or_init(|| Sandbox::start(&config).expect("a sandbox"))
}

/// A program of Python in a place with `a.txt` ("one") and `in/b.bin` (0 to 255), from which `out` and `in/b.bin` are fetched.
struct Row {
    name: &'static str,
    program: &'static str,
    end: Termination,
    printed: &'static str,
    out: Option<&'static [u8]>,
    /// Whether `in/b.bin` is there as it was.
    kept: bool,
}

const ROWS: &[Row] = &[
    Row {
        name: "files_are_there_by_their_paths",
        program: "import os\nprint(open('a.txt').read(), open('in/b.bin', 'rb').read() == bytes(range(256)), sorted(os.listdir()), os.getcwd())",
        end: Exited(0),
        printed: "one True ['a.txt', 'in', 'main.py'] /tmp\n",
        out: None,
        kept: true,
    },
    Row {
        name: "what_is_written_is_fetched",
        program: "open('out', 'wb').write(b'\\xff\\x00two')",
        end: Exited(0),
        printed: "",
        out: Some(b"\xff\x00two"),
        kept: true,
    },
    Row {
        name: "a_program_that_fails_leaves_what_it_wrote",
        program: "open('out', 'w').write('half')\nraise SystemExit(3)",
        end: Exited(3),
        printed: "",
        out: Some(b"half"),
        kept: true,
    },
    Row {
        name: "so_does_one_that_is_stopped",
        program: "f = open('out', 'w'); f.write('half'); f.flush()\nwhile True: pass",
        end: CpuTimeLimit,
        printed: "",
        out: Some(b"half"),
        kept: true,
    },
    Row {
        name: "a_file_may_be_changed_and_removed",
        program: "import os\nopen('in/b.bin', 'ab').write(b'more')\nos.remove('a.txt')\nprint(os.listdir('in'))",
        end: Exited(0),
        printed: "['b.bin']\n",
        out: None,
        kept: false,
    },
    Row {
        name: "a_link_is_no_file",
        program: "import os\nos.symlink('/etc/ld.so.cache', 'out')\nos.rename('in/b.bin', 'x')\nos.symlink('../x', 'in/b.bin')",
        end: Exited(0),
        printed: "",
        out: None,
        kept: false,
    },
    Row {
        name: "nor_is_a_way_through_one",
        program: "import os\nos.rename('in', 'there')\nos.symlink('there', 'in')\nos.mkdir('out')",
        end: Exited(0),
        printed: "",
        out: None,
        kept: false,
    },
    Row {
        name: "nor_is_a_pipe",
        program: "import os\nos.mkfifo('out')",
        end: Exited(0),
        printed: "",
        out: None,
        kept: true,
    },
    Row {
        name: "nor_is_what_nobody_may_read_a_failure_of_ours",
        program: "import os\nopen('out', 'w').write('x')\nos.chmod('out', 0)\nos.chmod('.', 0)",
        end: Exited(0),
        printed: "",
        out: Some(b"x"),
        kept: true,
    },
    Row {
        name: "a_module_beside_the_program_is_imported",
        program: "open('helper.py', 'w').write('x = 7')\nimport helper\nprint(helper.x)",
        end: Exited(0),
        printed: "7\n",
        out: None,
        kept: true,
    },
    Row {
        name: "there_is_room_for_so_much",
        program: "import errno\nf = open('out', 'wb', buffering=0)\ntry:\n  while True: f.write(b'x' * 65536)\nexcept OSError as e: print(e.errno in (errno.ENOSPC, errno.EFBIG))\nopen('out', 'wb').write(b'short')",
        end: Exited(0),
        printed: "True\n",
        out: Some(b"short"),
        kept: true,
    },
    Row {
        name: "a_file_under_many_names_is_no_failure",
        program: "import os\nopen('out', 'wb').write(b'y' * (10 << 20))\nos.remove('in/b.bin')\nos.link('out', 'in/b.bin')",
        end: Exited(0),
        printed: "",
        out: Some(&[b'y'; 10 << 20]),
        kept: false,
    },
];

const LIMITS: Limits =
    Limits { cpu_time: Duration::from_secs(2), wall_time: Duration::from_secs(10), ..Limits::DEFAULT };

fn prepare(sandbox: &Sandbox, language: Language, source: &str) -> Executable {
    match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE) {
        Ok(Prepared::Ready(executable)) => executable,
        other => panic!("{other:?}"),
    }
}

/// Where there is no place for such runs, that is said, and nothing else.
fn run_at(sandbox: &Sandbox, executable: &Executable, place: &Workplace<'_>) -> Option<(Outcome, Fetched)> {
    match sandbox.run_at(executable, place, b"", &LIMITS) {
        Err(SandboxError::Unavailable(why)) if sandbox.doctor().tier == Some(Tier::D) => {
            println!("nothing to run: {why}");
            None
        }
        other => Some(other.expect("a run")),
    }
}

fn check(sandbox: &Sandbox, row: &Row) {
    let numbers: Vec<u8> = (0..=255).collect();
    let place =
        Workplace { files: &[("in/b.bin", &numbers), ("a.txt", b"one")], fetch: &["out", "in/b.bin"] };
    let program = prepare(sandbox, Language::Python3, row.program);
    let Some((outcome, fetched)) = run_at(sandbox, &program, &place) else { return };
    assert_eq!(
        (outcome.termination, String::from_utf8_lossy(&outcome.stdout).as_ref()),
        (row.end, row.printed),
        "{outcome:?}"
    );
    let same = fetched[0].as_deref() == row.out;
    assert!(same, "out has {:?} bytes", fetched[0].as_ref().map(Vec::len));
    assert_eq!(fetched[1].as_deref() == Some(&numbers[..]), row.kept);
    nothing_left(sandbox);
}

/// The next program finds its own files and no others, and one without a place finds nothing.
fn nothing_left(sandbox: &Sandbox) {
    let looks = prepare(sandbox, Language::Python3, "import os\nprint(os.listdir())");
    let place = Workplace { files: &[], fetch: &["out"] };
    let (outcome, fetched) = run_at(sandbox, &looks, &place).expect("a place");
    assert_eq!((outcome.stdout.as_slice(), fetched), (&b"['main.py']\n"[..], vec![None]));
    let usual = "import os\nprint(os.getcwd(), os.path.isdir('/tmp') and os.listdir('/tmp'))";
    let outcome = sandbox.run(&prepare(sandbox, Language::Python3, usual), b"", &LIMITS).expect("a run");
    assert_eq!(outcome.stdout, b"/box False\n", "{outcome:?}");
}

type Check = fn(&Sandbox);

const CHECKS: &[(&str, Check)] = &[
    ("other_languages_have_a_place", languages),
    ("a_source_gives_way_to_a_file", names),
    ("files_are_not_the_programs_memory", memory),
    ("what_cannot_be_placed_is_refused", refused),
];

fn languages(sandbox: &Sandbox) {
    let rows = [
        (
            "cpp17",
            "#include <fstream>\n#include <string>\nint main() { std::string word; std::ifstream(\"a.txt\") >> word; std::ofstream(\"out\") << word << word; }",
        ),
        (
            "javascript",
            "const fs = require('fs'); const word = fs.readFileSync('a.txt', 'utf8'); fs.writeFileSync('out', word + word)",
        ),
        (
            "java",
            "import java.nio.file.*; public class Main { public static void main(String[] a) throws Exception { String word = Files.readString(Path.of(\"a.txt\")); Files.writeString(Path.of(\"out\"), word + word); } }",
        ),
    ];
    let place = Workplace { files: &[("a.txt", b"one")], fetch: &["out"] };
    for (name, source) in rows {
        let language = Language::from_name(name).expect("a language");
        let executable = match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE) {
            Ok(Prepared::Ready(executable)) => executable,
            Err(SandboxError::Unavailable(why)) => {
                println!("{name} has nothing to run: {why}");
                continue;
            }
            other => panic!("{name}: {other:?}"),
        };
        let limits = Limits { memory: 512 << 20, ..LIMITS };
        match sandbox.run_at(&executable, &place, b"", &limits) {
            Err(SandboxError::Unavailable(why)) if !language.is_needed() => println!("{name}: {why}"),
            Ok((outcome, fetched)) => {
                assert_eq!(
                    (outcome.termination, fetched),
                    (Exited(0), vec![Some(b"oneone".to_vec())]),
                    "{name}: {outcome:?}"
                );
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

fn names(sandbox: &Sandbox) {
    let program =
        prepare(sandbox, Language::Python3, "print(open('main.py').read(), __file__.rpartition('/')[2])");
    let place = Workplace { files: &[("main.py", b"mine")], fetch: &["main.py"] };
    let Some((outcome, fetched)) = run_at(sandbox, &program, &place) else { return };
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "mine _main.py\n", "{outcome:?}");
    assert_eq!(fetched, [Some(b"mine".to_vec())]);
}

/// A file may be as large as the whole limit, and what the program writes is its own.
fn memory(sandbox: &Sandbox) {
    let large = vec![b'z'; Workplace::MAX_BYTES];
    let program = prepare(sandbox, Language::Python3, "import os\nprint(os.path.getsize('large'))");
    let place = Workplace { files: &[("large", &large)], fetch: &["large"] };
    let limits = Limits { memory: 24 << 20, ..LIMITS };
    let done = match sandbox.run_at(&program, &place, b"", &limits) {
        Err(SandboxError::Unavailable(why)) => return println!("nothing to run: {why}"),
        other => other.expect("a run"),
    };
    assert_eq!(String::from_utf8_lossy(&done.0.stdout), format!("{}\n", large.len()), "{:?}", done.0);
    assert!(done.1[0].as_deref() == Some(&large[..]));
}

fn refused(sandbox: &Sandbox) {
    let program = prepare(sandbox, Language::Python3, "print(1)");
    let large = vec![0; Workplace::MAX_BYTES + 1];
    let many: Vec<String> = (0..=Workplace::MAX_FILES).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for place in [
        Workplace { files: &[("../x", b"")], fetch: &[] },
        Workplace { files: &[("/etc/x", b"")], fetch: &[] },
        Workplace { files: &[("a", &large)], fetch: &[] },
        Workplace { files: &[], fetch: &["/etc/passwd"] },
        Workplace { files: &[], fetch: &many },
    ] {
        let result = sandbox.run_at(&program, &place, b"", &LIMITS);
        assert!(matches!(result, Err(SandboxError::Invalid(_))), "{result:?}");
    }
}
