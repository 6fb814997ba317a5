//! Every mistake gives one clear line and the right exit code.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::process::{Command, Output};

fn assay_train(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay-train")).args(args).output().unwrap()
}

#[test]
fn mistakes_are_named_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("unknown.toml"), "sede = 1\n[model]\n").unwrap();
    std::fs::write(
        path("plain.toml"),
        "[model]\n[sft]\nrows = { arithmetic = 2 }\nsteps = 1\nlearning_rate = 1e-3\n",
    )
    .unwrap();
    std::fs::write(path("file.toml"), "[model]\n[problems]\nmine = 'missing.jsonl'\n").unwrap();
    std::fs::write(path("load.toml"), "[model]\nload = 'nowhere'\n").unwrap();
    std::fs::write(path("a-file"), "").unwrap();
    let (out, missing, inside) = (path("out"), path("missing.toml"), path("a-file/out"));
    let (unknown, plain, file, load) =
        (path("unknown.toml"), path("plain.toml"), path("file.toml"), path("load.toml"));
    let rows: [(&[&str], &[&str]); 6] = [
        (&["rl", "--config", &missing, "--out", &out], &["missing.toml", "No such file"]),
        (&["rl", "--config", &unknown, "--out", &out], &["unknown.toml", "line 1", "sede"]),
        (&["sft", "--config", &plain, "--out", &inside], &["a-file"]),
        (&["eval", "--config", &file, "--out", &out], &["missing.jsonl"]),
        (&["sample", "--config", &load, "--out", &out], &["nowhere"]),
        (&["rl", "--config", &plain, "--out", &out], &["assay-train sft"]),
    ];
    for (args, words) in rows {
        let output = assay_train(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert_eq!(stderr.trim_end().lines().count(), 1, "{args:?}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{args:?} should name {word:?}: {stderr}");
        }
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_teaches_and_a_wrong_flag_is_refused() {
    let help = assay_train(&["--help"]);
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(help.status.success());
    for word in ["quickstart", "sft", "rl", "calibrate", "sample", "eval", "Exit codes"] {
        assert!(text.contains(word), "{text}");
    }
    let wrong = assay_train(&["quickstart", "--sede", "3"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--sede"));
}
