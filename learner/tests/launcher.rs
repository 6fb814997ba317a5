//! The program that people start hands over to its twin built with CUDA, where that finds a GPU.

#![cfg(not(feature = "cuda"))]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// A program linked with CUDA does not even start where there is no driver; who starts ours gets a sentence, and the CPU.
#[test]
fn a_twin_that_finds_a_gpu_takes_over_and_why_another_does_not_is_said() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = folder.path().join("assay-train");
    std::fs::hard_link(env!("CARGO_BIN_EXE_assay-train"), &program).unwrap();
    let twin = |script: &str| {
        let path = folder.path().join("assay-train-cuda");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let run = |args: &[&str]| {
        let output = Command::new(&program).args(args).output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code().unwrap(), out, err)
    };
    let on_the_cpu = |(code, out, err): (i32, String, String), words: &str| {
        assert_eq!((code, err.as_str()), (0, words));
        assert!(out.starts_with("the CPU, "), "{out}");
    };

    on_the_cpu(run(&["device"]), "");
    let (code, _, err) = run(&["device", "--device", "cuda"]);
    assert!(code == 2 && err.lines().count() == 1 && err.contains("learner/cuda-build.sh"), "{err}");

    twin("echo \"$0: error while loading shared libraries: libcuda.so.1: no such file\" >&2; exit 127");
    let why = "no GPU can be used: libcuda.so.1: no such file";
    on_the_cpu(run(&["device"]), &format!("assay-train: computing on the CPU, as {why}\n"));
    on_the_cpu(run(&["device", "--device", "cpu"]), "");
    let (code, _, err) = run(&["device", "--device", "cuda"]);
    assert_eq!((code, err.as_str()), (2, "assay-train: --device cuda: libcuda.so.1: no such file\n"));

    // The probe is asked to open a GPU; then it gets the words that we got.
    twin("[ \"$*\" = 'device --device cuda' ] || printf '<%s>' \"$@\"");
    let given = ["eval", "--config", "a b.toml", "--out", "c"];
    assert_eq!(run(&given), (0, "<eval><--config><a b.toml><--out><c>".to_owned(), String::new()));
    let (code, _, err) = run(&["data"]);
    assert_eq!(code, 2, "data needs no GPU: {err}");
}
