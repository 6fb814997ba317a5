//! A plan against what a run takes, and the command that prints it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

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

/// Greatest number of bytes of this process in memory since `forget`.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok().map(|kib| kib * 1024.0)
}

fn forget() -> Option<()> {
    std::fs::write("/proc/self/clear_refs", "5").ok()
}

fn phase<'p>(plan: &'p Plan, name: &str) -> &'p Phase {
    plan.parts[0].phases.iter().find(|phase| phase.name == name).unwrap()
}

/// 25 million parameters; as many prompts as are computed in seven goes of 66. Completions are short, so that few of them end before their greatest length; prompts are long where
/// keys and values are to be many.
#[test]
fn a_plan_is_what_a_run_takes() {
    let (Some(_), Some(())) = (peak(), forget()) else {
        eprintln!("SKIPPED: no /proc/self/clear_refs on this host");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let prompt = "1+".repeat(60);
    let rows: String = (100..562)
        .map(|n| format!("{{\"id\": {n}, \"problem\": \"{prompt}{n}=\", \"answer\": \"1\"}}\n"))
        .collect();
    std::fs::write(directory.path().join("long.jsonl"), rows).unwrap();
    let text = "seed = 1\n[model]\nhidden_size = 512\nintermediate_size = 1536\nnum_hidden_layers = 8\nnum_attention_heads = 8\n\
        num_key_value_heads = 4\nmax_position_embeddings = 160\n[problems]\nlong = 'long.jsonl'\n\
        [eval]\nproblems = { long = 462 }\nmax_completion_length = 8\n\
        [[rl]]\nname = 'm'\nprompts = { arithmetic = 32 }\nrollouts = 4\nsteps = 2\nmax_completion_length = 12\n\
        learning_rate = 1e-5\ntemperature = { mode = 'fixed' }\n";
    let path = directory.path().join("r.toml");
    // Looks are what samples the most, and where they are counted.
    std::fs::write(&path, text.replace("[eval]\n", "[eval]\nevery = 1\n")).unwrap();
    let looks = Recipe::load(&path).unwrap();
    std::fs::write(&path, text.replace("problems = { long = 462 }\n", "")).unwrap();
    let trains = Recipe::load(&path).unwrap();
    let machine = Machine::cpu(None);
    let planned = plan(&looks, &machine, None).unwrap();
    let run = Run::start(looks, directory.path(), Progress::quiet()).unwrap();
    run.evaluate(&run.start_policy().unwrap(), &Hashed).unwrap();
    let sampling = phase(&planned, "sampling");
    // There are none before the first update.
    let states =
        sampling.consumers.iter().find(|consumer| consumer.name == "optimizer states").unwrap().bytes;
    let of_sampling = ("sampling", sampling.bytes() - states, peak().unwrap());

    forget();
    let planned = plan(&trains, &machine, None).unwrap();
    assert!(planned.refused.is_none(), "{planned:?}");
    let run = Run::start(trains, directory.path(), Progress::quiet()).unwrap();
    run.rl(&Hashed, &directory.path().join("run"), false).unwrap();
    let (_, greatest) = planned.peak().unwrap();
    assert_eq!(greatest.name, "update: layers");
    let mut wrong = false;
    for (what, planned, taken) in [of_sampling, ("update", greatest.bytes(), peak().unwrap())] {
        let off = planned as f64 / taken - 1.0;
        eprintln!("{what}: planned {planned} bytes, taken {taken}, {:+.1} %", 100.0 * off);
        wrong |= off.abs() >= 0.05;
    }
    assert!(!wrong, "off by 5 % or more: see above");
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
