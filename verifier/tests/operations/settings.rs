//! `assay config`, `assay completions` and `assay man`.

use std::process::{Command, Output};

use serde_json::Value;

use crate::service::file;

fn assay(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command.args(arguments).envs(environment.iter().copied()).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = assay(arguments, &[]);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn check_finds_what_a_start_would() {
    let directory = tempfile::tempdir().unwrap();
    // (settings, what the one line on stderr says; nothing where they are fine)
    let rows: [(&str, &[&str]); 8] = [
        ("", &[]),
        ("[serve]\nslots = 3\nqueue-deadline = \"20s\"\n[grade]\ncpu-time = \"2s\"\n", &[]),
        ("[serve]\n\nslosts = 3\n", &["line 3", "slosts"]),
        ("[serve]\nqueue = \"many\"\n", &["many", "queue"]),
        ("[grade]\ncpu-time = \"soon\"\n", &["soon", "cpu-time"]),
        ("[serve]\ntoken-file = \"/no/tokens\"\n", &["/no/tokens"]),
        ("[serve]\nlisten = \"0.0.0.0:80\"\n", &["0.0.0.0:80", "--token-file"]),
        ("[serve]\ntls-cert = \"/no/cert\"\n", &["--tls-key"]),
    ];
    for (text, named) in rows {
        let path = file(directory.path(), "assay.toml", text);
        let output = assay(&["--config", path.to_str().unwrap(), "config", "check"], &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(if named.is_empty() { 0 } else { 2 }), "{text}: {said}");
        assert_eq!(said.lines().count(), usize::from(!named.is_empty()), "{text}: {said}");
        for part in named {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    }
}

#[test]
fn dump_says_what_holds_and_why_and_can_be_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[serve]\nslots = 3\nin-process = true\nlisten = \"127.0.0.1:1\"\n";
    let path = file(directory.path(), "assay.toml", text);
    let path = path.to_str().unwrap();
    let environment =
        [("ASSAY_LISTEN", "127.0.0.1:9"), ("ASSAY_RESULTS_CACHE", "5"), ("ASSAY_CACHE", "/a/directory")];
    let dump = |more: &[&str]| {
        let output = assay(&[&["--config", path, "config", "dump"], more].concat(), &environment);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let all: Value = serde_json::from_str(&dump(&["serve", "--json"])).unwrap();
    let place = format!("{path}, line ");
    for (name, value, from) in [
        ("slots", Some("3"), format!("{place}2")),
        ("in-process", Some("true"), format!("{place}3")),
        ("listen", Some("127.0.0.1:9"), "ASSAY_LISTEN".into()),
        ("cache", Some("5"), "ASSAY_RESULTS_CACHE".into()),
        ("queue", Some("1024"), "default".into()),
        ("math-only", Some("false"), "default".into()),
        ("token-file", None, "default".into()),
    ] {
        let setting = &all["serve"][name];
        assert_eq!(
            (setting["value"].as_str(), setting["from"].as_str()),
            (value, Some(from.as_str())),
            "{name}"
        );
    }
    // The file it prints gives the same values again, now all from there.
    let whole = file(directory.path(), "dump.toml", &dump(&[]));
    let whole = whole.to_str().unwrap();
    assert!(printed(&["--config", whole, "config", "check"]).contains("fine"));
    let again: Value =
        serde_json::from_str(&printed(&["--config", whole, "config", "dump", "serve", "--json"])).unwrap();
    for (name, setting) in all["serve"].as_object().unwrap() {
        assert_eq!(again["serve"][name]["value"], setting["value"], "{name}");
    }
    assert!(again["serve"]["queue"]["from"].as_str().unwrap().contains("dump.toml, line"), "{again}");
    let unknown = assay(&["config", "dump", "sevre"], &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("serve"));
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let text = printed(&["completions", shell]);
        for word in ["token-file", "grade", "config"] {
            assert!(text.contains(word), "{shell} does not know {word}");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    printed(&["man", "--out", directory.path().to_str().unwrap()]);
    let page = std::fs::read_to_string(directory.path().join("assay-serve.1")).unwrap();
    assert_eq!(page, printed(&["man", "serve"]));
    for part in [".TH ASSAY-SERVE", "token\\-file", "SIGTERM"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let help = printed(&["--help"]);
    let mut commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut count = 0;
    assert!(commands.all(|line| {
        count += 1;
        let name = line.split_whitespace().next().unwrap();
        name == "help" || directory.path().join(format!("assay-{name}.1")).is_file()
    }));
    assert!(count > 10, "{help}");
}
