//! What a person asks a finished run: an answer to a prompt as it is written, and how it does on a testset.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use assay_learner::metrics::{self, SftMetrics};
use serde_json::Value;

const RECIPE: &str = "seed = 3\n[model]\nhidden_size = 32\nintermediate_size = 64\nnum_hidden_layers = 2\n\
    num_attention_heads = 2\nnum_key_value_heads = 1\nmax_position_embeddings = 64\n\
    [sft]\nrows = { arithmetic = 32 }\nsteps = 150\nlearning_rate = 3e-3\n\
    [eval]\nproblems = { arithmetic = 4 }\nmax_completion_length = 12\n";

/// A run whose policy has learned how answers look.
struct Tuned {
    directory: tempfile::TempDir,
}

impl Tuned {
    fn new() -> Tuned {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("recipe.toml"), RECIPE).unwrap();
        let tuned = Tuned { directory };
        let out = tuned.command(env!("CARGO_BIN_EXE_assay-train").as_ref(), "sft").output().unwrap();
        assert!(out.status.success(), "{out:?}");
        tuned
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, program: &Path, command: &str) -> Command {
        let mut built = Command::new(program);
        built.args([command, "--device", "cpu", "--config"]).arg(self.path("recipe.toml"));
        built.arg("--out").arg(self.path("run"));
        built
    }

    fn run(&self, command: &str, more: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_assay-train").as_ref(), command).args(more).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_prompt_is_answered_as_it_is_written() {
    let tuned = Tuned::new();
    let asked = |more: &[&str]| {
        let out = tuned.run("sample", &[&["--prompt", "417+186="], more].concat());
        assert!(out.status.success(), "{out:?}");
        text(&out.stdout).to_owned()
    };
    let streamed = asked(&[]);
    assert!(streamed.len() > 1 && streamed.ends_with('\n'), "{streamed:?}");
    let value: Value = serde_json::from_str(&asked(&["--json"])).unwrap();
    assert_eq!(value["completion"].as_str().unwrap().to_owned() + "\n", streamed);
    assert_eq!(value["prompt"], "417+186=");
    // The seed decides what is drawn; greedily there is nothing to decide.
    let drawn: Vec<String> =
        (0..8).map(|seed| asked(&["--seed", &seed.to_string(), "--temperature", "5"])).collect();
    assert!(drawn.iter().any(|other| *other != drawn[0]), "{drawn:?}");
    assert_eq!(asked(&["--seed", "3"]), streamed, "the recipe's seed is 3");
    assert_eq!(asked(&["--temperature", "0"]), asked(&["--temperature", "0", "--seed", "9"]));
    assert_eq!(asked(&["--temperature", "0", "--stop", "{"]), "\\boxed\n");

    let mut command = tuned.command(env!("CARGO_BIN_EXE_assay-train").as_ref(), "sample");
    let mut child =
        command.args(["--prompt", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"417+186=").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), streamed);
}

#[test]
fn what_cannot_be_sampled_is_refused_in_one_line() {
    let tuned = Tuned::new();
    let rows: [(&[&str], &str); 6] = [
        (&["--checkpoint", "rl.best"], "run holds no checkpoint `rl.best`; it has sft"),
        (&["--checkpoint", "../run/sft"], "it has sft"),
        (&["--prompt", ""], "--prompt"),
        (&["--prompt", "1+1=", "--problems", "3"], "cannot be used with"),
        (&["--prompt", "1+1=", "--max-tokens", "64"], "context is 64 tokens"),
        (&["--prompt", &"1+".repeat(40)], "max_position_embeddings is 64"),
    ];
    for (more, words) in rows {
        let out = tuned.run("sample", more);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{more:?}: {said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{more:?}: {said}");
    }
}

/// What SFT did was gone with the terminal, and of several checkpoints only the newest could be asked.
#[test]
fn an_sft_leaves_its_curve_and_a_checkpoint_is_asked_by_its_name() {
    let tuned = Tuned::new();
    let lines = metrics::read::<SftMetrics>(&tuned.path("run/sft-metrics.jsonl")).unwrap();
    assert_eq!((lines.len(), lines[149].step), (150, 150));
    assert!(lines[149].loss < 0.7 * lines[0].loss, "{} {}", lines[0].loss, lines[149].loss);
    assert!(
        lines.iter().all(|line| line.grad_norm > 0.0 && line.tokens > 0 && line.num_tokens > line.tokens)
    );
    assert!(lines.windows(2).all(|pair| pair[1].num_tokens > pair[0].num_tokens));
    assert_eq!(std::fs::read_dir(tuned.path("run/tensorboard/sft")).unwrap().count(), 1);

    let asked = |more: &[&str]| {
        let out = tuned.run("sample", &[&["--prompt", "417+186=", "--json"], more].concat());
        assert!(out.status.success(), "{out:?}");
        text(&out.stdout).to_owned()
    };
    let newest = asked(&[]);
    assert_eq!(asked(&["--checkpoint", "sft"]), newest);
    // Another checkpoint, as a longer run leaves it: the same policy before it learned.
    let start = RECIPE.replace("steps = 150", "steps = 1");
    std::fs::write(tuned.path("start.toml"), start).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay-train"));
    command.args(["sft", "--device", "cpu", "--config"]).arg(tuned.path("start.toml"));
    assert!(command.arg("--out").arg(tuned.path("start")).output().unwrap().status.success());
    std::fs::rename(tuned.path("start/sft"), tuned.path("run/rl.best")).unwrap();
    assert_eq!(asked(&["--checkpoint", "sft"]), newest);
    assert_ne!(asked(&["--checkpoint", "rl.best"]), newest);
}

/// Problems of the policy's own kind, as a testset.
fn testset(path: &Path) {
    let row = |n: u32| format!("{{\"id\": \"{n}\", \"problem\": \"{n}+{n}=\", \"answer\": \"{}\"}}\n", 2 * n);
    std::fs::write(path, (100..104).map(row).collect::<String>()).unwrap();
}

#[test]
fn a_testset_is_asked_by_bench_and_gone_on_with() {
    if !Path::new(env!("CARGO_BIN_EXE_assay-train")).with_file_name("assay").exists() {
        eprintln!("SKIPPED: no program `assay` beside assay-train; `cargo test --workspace` builds both");
        return;
    }
    let tuned = Tuned::new();
    let set = tuned.path("sums.jsonl");
    testset(&set);
    let set = set.display().to_string();
    let asked = |more: &[&str]| {
        let out = tuned.run("eval", &[&["--testset", &set], more].concat());
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        out
    };
    let report = |out: &Output| -> Value { serde_json::from_slice(&out.stdout).unwrap() };
    let first = report(&asked(&["--json", "--", "--samples", "3"]));
    assert_eq!((&first["generation"]["obtained"], &first["problems"]), (&12.into(), &4.into()), "{first}");
    // Asked as in training, greedily, as [eval] says: what it writes is what `sample` writes.
    let completions = tuned.path("run/bench-sums/completions.jsonl");
    let lines = std::fs::read_to_string(&completions).unwrap();
    let line: Value =
        serde_json::from_str(lines.lines().find(|line| line.contains("\"100\"")).unwrap()).unwrap();
    let sampled = tuned.run("sample", &["--prompt", "100+100=", "--temperature", "0"]);
    assert_eq!(line["completion"].as_str().unwrap(), text(&sampled.stdout).trim_end());

    // Cut in the middle of its fifth line, with nothing graded yet.
    let kept: usize = lines.split_inclusive('\n').take(4).map(str::len).sum();
    std::fs::write(&completions, &lines[..kept + 20]).unwrap();
    std::fs::write(completions.with_file_name("graded.jsonl"), "").unwrap();
    let again = report(&asked(&["--resume", "--json", "--", "--samples", "3"]));
    assert_eq!(again["generation"]["obtained"], 12, "{again}");
    let whole = std::fs::read_to_string(&completions).unwrap();
    assert!(whole.starts_with(&lines[..kept]) && whole.lines().count() == 12, "{whole}");
    // A table, where no JSON is asked for; and nothing is left to ask.
    let table = asked(&["--resume", "--", "--samples", "3"]);
    assert!(text(&table.stdout).contains("pass@3"), "{}", text(&table.stdout));
    // Of a checkpoint that is named it has a directory of its own.
    asked(&["--checkpoint", "sft", "--json"]);
    assert!(tuned.path("run/bench-sums-sft/report.json").exists());
}

#[test]
fn without_the_other_program_one_line_says_what_to_do() {
    let tuned = Tuned::new();
    let set = tuned.path("sums.jsonl");
    testset(&set);
    // Alone in a directory, and nothing in the PATH.
    let program = tuned.path("assay-train");
    std::fs::copy(env!("CARGO_BIN_EXE_assay-train"), &program).unwrap();
    let out =
        tuned.command(&program, "eval").arg("--testset").arg(&set).env("PATH", "/nowhere").output().unwrap();
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot run assay") && said.lines().count() == 1, "{said}");
    let out = tuned.run("eval", &["--", "--samples", "3"]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert!(text(&out.stderr).contains("--testset"), "{out:?}");
}
