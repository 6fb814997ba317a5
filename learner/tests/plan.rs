//! A plan against what a run takes, and the command that prints it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "common/memory.rs"]
mod memory;

use std::path::Path;
use std::process::Command;

use assay_learner::plan::{Machine, Phase, Plan, plan};
use assay_learner::progress::Progress;
use assay_learner::recipe::Recipe;
use assay_learner::reward_client::{Answer, Ask, Grade, RewardError};
use assay_learner::run::Run;

/// Rewards that differ, so that every group has something to teach.
struct Hashed;

impl Grade for Hashed {
    fn grade(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, RewardError> {
        let reward = |ask: &Ask<'_>| {
            ask.completion.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte)) % 997
        };
        let answer = |ask| Answer::Graded { reward: f64::from(reward(ask)), verdict: String::new() };
        Ok(asks.iter().map(answer).collect())
    }
}

/// Greatest number of bytes of this process in memory.
fn peak() -> Option<usize> {
    memory::own("VmHWM")
}

/// 25 million parameters; as many prompts as are computed in seven goes of 66. Completions are short, so that few of them end before
/// their greatest length; prompts are long where keys and values are to be many. The second recipe trains and never looks.
fn recipes(directory: &Path) -> [Recipe; 2] {
    let prompt = "1+".repeat(60);
    let rows: String = (100..562)
        .map(|n| format!("{{\"id\": {n}, \"problem\": \"{prompt}{n}=\", \"answer\": \"1\"}}\n"))
        .collect();
    std::fs::write(directory.join("long.jsonl"), rows).unwrap();
    let text = "seed = 1\n[model]\nhidden_size = 512\nintermediate_size = 1536\nnum_hidden_layers = 8\nnum_attention_heads = 8\n\
        num_key_value_heads = 4\nmax_position_embeddings = 160\n[problems]\nlong = 'long.jsonl'\n\
        [eval]\nproblems = { long = 462 }\nmax_completion_length = 8\n\
        [[rl]]\nname = 'm'\nprompts = { arithmetic = 32 }\nrollouts = 4\nsteps = 2\nmax_completion_length = 12\n\
        learning_rate = 1e-5\ntemperature = { mode = 'fixed' }\n";
    // Looks are what samples the most, and where they are counted.
    let looks = text.replace("[eval]\n", "[eval]\nevery = 1\n");
    let trains = text.replace("problems = { long = 462 }\n", "");
    [looks, trains].map(|text| {
        let path = directory.join("r.toml");
        std::fs::write(&path, text).unwrap();
        Recipe::load(&path).unwrap()
    })
}

/// Names the part of a run that this process is to go through.
const PART: &str = "ASSAY_TEST_PART";

#[test]
fn a_plan_is_what_a_run_takes() {
    let directory = tempfile::tempdir().unwrap();
    let [looks, trains] = recipes(directory.path());
    let run = |recipe| Run::start(recipe, directory.path(), Progress::quiet()).unwrap();
    match std::env::var(PART).as_deref() {
        Ok("sampling") => {
            let run = run(looks);
            run.evaluate(&run.start_policy().unwrap(), &Hashed).unwrap();
        }
        Ok(_) => drop(run(trains).rl(&Hashed, &directory.path().join("run"), false).unwrap()),
        Err(_) => return compare(&looks, &trains),
    }
    eprintln!("peak: {}", peak().unwrap());
}

fn compare(looks: &Recipe, trains: &Recipe) {
    if peak().is_none() {
        eprintln!("SKIPPED: no /proc/self/status on this host");
        return;
    }
    let machine = Machine::cpu(None);
    let plans = [looks, trains].map(|recipe| plan(recipe, &machine, None).unwrap());
    let sampling = phase(&plans[0], "sampling");
    // There are none before the first update.
    let states =
        sampling.consumers.iter().find(|consumer| consumer.name == "optimizer states").unwrap().bytes;
    let (_, greatest) = plans[1].peak().unwrap();
    assert_eq!(greatest.name, "update: layers");
    for (part, planned) in [("sampling", sampling.bytes() - states), ("update", greatest.bytes())] {
        // What one thread has not given back yet when another takes more is chance, on a busy machine more of it.
        let close = (0..5).any(|_| {
            let taken = taken(part);
            let off = planned as f64 / taken - 1.0;
            eprintln!("{part}: planned {planned} bytes, taken {taken}, {:+.1} %", 100.0 * off);
            off.abs() < 0.05
        });
        assert!(close, "{part}: off by 5 % or more, five times");
    }
}

fn phase<'p>(plan: &'p Plan, name: &str) -> &'p Phase {
    plan.parts[0].phases.iter().find(|phase| phase.name == name).unwrap()
}

/// The greatest number of bytes in memory of a process that goes through this part. After another part in the same process the
/// allocator kept, on a busy machine, an eighth more than the update takes.
fn taken(part: &str) -> f64 {
    let test = ["--exact", "a_plan_is_what_a_run_takes", "--nocapture"];
    let out = Command::new(std::env::current_exe().unwrap()).args(test).env(PART, part).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    let line = said.lines().find_map(|line| line.strip_prefix("peak: "));
    line.and_then(|line| line.parse().ok()).unwrap_or_else(|| panic!("{part}: {said}"))
}

fn assay_train(arguments: &[&str]) -> (Option<i32>, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_assay-train")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

#[test]
fn the_command_prints_a_plan_or_refuses_in_one_line() {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/acereason-7b.toml");
    let recipe = recipe.display().to_string();
    let on = |gpu: &'static str, more: &[&'static str]| {
        assay_train(&[&["plan", &recipe, "--gpu", gpu, "--precision", "bf16"], more].concat())
    };
    let (code, text, said) = on("80GB", &[]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{text}");
    for words in [
        "7.616 billion parameters",
        "keys and values",
        "update: layers",
        "math-32k",
        "verifier",
        "Floor of a step's time",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    let (code, text, _) = on("h200", &["--json", "--mean-length", "4000"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, value["parts"][1]["floor"]["completion_length"].as_u64()), (Some(0), Some(4000)));
    let rows: [(&str, &[&str], &str); 4] = [
        ("16GB", &[], "does not fit: update: layers of `math-32k` takes"),
        ("16GB", &[], "it fits with a model of the size of Qwen2.5-0.5B"),
        ("80GB", &["--ram", "32GiB"], "of the host's memory, which has 32.0 GiB"),
        ("80", &[], "expected a size as 80GiB or 80GB"),
    ];
    for (gpu, more, words) in rows {
        let (code, text, said) = on(gpu, more);
        assert_eq!((code, text.as_str()), (Some(2), ""), "{said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{words}: {said}");
    }
}
