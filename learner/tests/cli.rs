//! Every mistake gives one clear line and the right exit code.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use assay_learner::model::{Config, Model, Precision};
use assay_learner::recipe::Recipe;
use assay_learner::tokenizer::Tokenizer;

/// A recipe that trains in a moment.
const TRAINS: &str = "seed = 1\n[model]\nhidden_size = 16\nintermediate_size = 16\nnum_hidden_layers = 1\n\
    num_attention_heads = 1\nnum_key_value_heads = 1\nmax_position_embeddings = 32\n\
    [sft]\nrows = { arithmetic = 2 }\nsteps = 2\nlearning_rate = 1e-3\n\
    [[rl]]\nname = 'math'\nprompts = { arithmetic = 2 }\nrollouts = 2\nsteps = 2\nmax_completion_length = 4\n\
    learning_rate = 1e-4\ntemperature = { mode = 'fixed' }\n";

const CONFIG: &str = "{\"model_type\": \"qwen2\", \"hidden_size\": 8, \"intermediate_size\": 8, \"num_hidden_layers\": 1, \
    \"num_attention_heads\": 1, \"vocab_size\": 8, \"max_position_embeddings\": 8}";

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
    std::fs::write(path("adapter.toml"), format!("{TRAINS}[lora]\nrank = 4\n")).unwrap();
    std::fs::write(path("a-file"), "").unwrap();
    let (out, missing, inside) = (path("out"), path("missing.toml"), path("a-file/out"));
    let (unknown, plain, file, load) =
        (path("unknown.toml"), path("plain.toml"), path("file.toml"), path("load.toml"));
    std::fs::write(path("url.toml"), format!("{TRAINS}[rewards]\nurls = ['zzz']\n")).unwrap();
    std::fs::write(path("trains.toml"), TRAINS).unwrap();
    let (url, trains, afile) = (path("url.toml"), path("trains.toml"), path("a-file"));
    let adapter = path("adapter.toml");
    // A checkpoint that lacks its tokenizer.
    std::fs::create_dir_all(path("bare")).unwrap();
    std::fs::write(path("bare/config.json"), CONFIG).unwrap();
    std::fs::write(
        path("bare.toml"),
        "[model]\nload = 'bare'\n[sft]\nrows = { arithmetic = 2 }\nsteps = 1\nlearning_rate = 1e-3\n",
    )
    .unwrap();
    let (bare, base): (_, &[&str]) = (path("bare.toml"), &["--config", &trains, "--out", &out]);
    let broken = broken_checkpoints(&dir.path().join("broken"));
    let loads = |name: &str| &broken[name];
    let and = |command: &'static str, more: &'static [&'static str]| [&[command], base, more].concat();
    let rows: Vec<(Vec<&str>, &[&str])> = vec![
        (vec!["rl", "--config", &missing, "--out", &out], &["missing.toml", "No such file"]),
        (vec!["rl", "--config", &unknown, "--out", &out], &["unknown.toml", "line 1", "sede"]),
        (vec!["sft", "--config", &plain, "--out", &inside], &["a-file"]),
        (vec!["eval", "--config", &file, "--out", &out], &["missing.jsonl"]),
        (vec!["sample", "--config", &load, "--out", &out], &["nowhere"]),
        (vec!["rl", "--config", &plain, "--out", &out], &["[[rl]]", "assay-train sft"]),
        (vec!["rl", "--out", &out], &["--config <RECIPE>", "see `assay-train rl --help`"]),
        (vec!["sft", "--config", &load, "--out", &out], &["the recipe has no [sft]"]),
        (vec!["trian"], &["unrecognized subcommand 'trian'", "see `assay-train --help`"]),
        (vec!["quickstart", "--sede", "3"], &["unexpected argument '--sede'", "'--seed'"]),
        (vec!["quickstart", "--seed", "x"], &["invalid value 'x' for '--seed <SEED>'"]),
        (vec!["quickstart", "--seed", "-1"], &["'-1' for '--seed <SEED>'", "from 0 to 9223372036854775807"]),
        (vec!["quickstart", "--out", ""], &["'--out <DIR>'"]),
        (
            vec!["export", "--adapter", &out, "--out", &missing],
            &["out/adapter_config.json", "an adapter directory holds adapter_config.json"],
        ),
        (vec!["export", "--adapter", &out, "--out", &afile], &["a file stands where a directory should"]),
        (vec!["sft", "--config", &adapter, "--out", &out], &["adapter.toml", "lora needs model.load"]),
        (and("sample", &["--problems", "99999999999"]), &["'--problems <PROBLEMS>'", "1..=65536"]),
        (
            and("sample", &["--temperature", "nan"]),
            &["'--temperature <TEMPERATURE>'", "from 0.05 to 20, not NaN"],
        ),
        (
            and("sample", &["--temperature", "-1"]),
            &["'--temperature <TEMPERATURE>'", "from 0.05 to 20, not -1"],
        ),
        (vec!["rl", "--config", &url, "--out", &out], &["url.toml", "rewards.urls", "zzz"]),
        (and("eval", &[]), &["holds no checkpoint", "assay-train rl"]),
        (vec!["live", "--out", &out], &["holds no run (no recipe.toml)", "check --out"]),
        (vec!["live", "--out", &out, "--listen", "0.0.0.0:0"], &["reachable by others", "ssh -L"]),
        (and("calibrate", &[]), &["holds no checkpoint"]),
        (and("sft", &["--resume"]), &["holds nothing to go on from", "leave out --resume"]),
        (and("rl", &["--resume"]), &["holds nothing to go on from", "leave out --resume"]),
        (vec!["quickstart", "--resume", "--out", &out], &["holds nothing to go on from"]),
        (
            vec!["sft", "--config", &trains, "--out", &afile],
            &["a-file", "it is in the way; choose another path"],
        ),
        (vec!["sft", "--config", &plain, "--out", &inside], &["a file stands where a directory should"]),
        (
            vec!["sft", "--config", &missing, "--out", &out],
            &["missing.toml", "No such file", "check the path"],
        ),
        (vec!["sft", "--config", &bare, "--out", &out], &["bare", "a checkpoint directory holds"]),
        (
            vec!["eval", "--config", loads("cut"), "--out", &out],
            &["cut/model.safetensors", "was cut off", "copy it anew"],
        ),
        (
            vec!["sample", "--config", loads("headless"), "--out", &out],
            &["headless/model.safetensors", "expected a safetensors file"],
        ),
        (
            vec!["rl", "--config", loads("other"), "--out", &out],
            &["other/model.safetensors", "model.embed_tokens.weight is [", "config.json makes it"],
        ),
        (
            vec!["sample", "--config", loads("unknown"), "--out", &out],
            &["unknown/config.json", "hidden_act is gelu", "this engine computes silu"],
        ),
        (
            vec!["sample", "--config", loads("garbled"), "--out", &out],
            &["garbled/config.json", "expected JSON", "line 1"],
        ),
        (
            vec!["eval", "--config", loads("mixed"), "--out", &out],
            &["mixed", "the tokenizer has", "vocab_size is 16", "not of one checkpoint"],
        ),
        (
            vec!["eval", "--config", loads("endless"), "--out", &out],
            &["endless", "names an end-of-text token"],
        ),
        (
            vec!["sample", "--config", loads("template"), "--out", &out],
            &["tokenizer_config.json", "chat template line 1"],
        ),
    ];
    for (args, words) in rows {
        let output = assay_train(&args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert_eq!(stderr.trim_end().lines().count(), 1, "{args:?}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{args:?} should name {word:?}: {stderr}");
        }
        assert!(output.stdout.is_empty());
    }
}

/// Checkpoints with one thing wrong each, and the recipes that load them.
fn broken_checkpoints(dir: &Path) -> BTreeMap<&'static str, String> {
    let tokenizer = Tokenizer::train(&["1+1=2".to_owned()], 260, &["<|end|>"]).unwrap();
    let json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
    let rows = ["cut", "headless", "other", "unknown", "garbled", "mixed", "endless", "template"];
    let recipe = |name: &'static str| {
        let at = dir.join(name);
        let vocabulary = if name == "mixed" { 16 } else { tokenizer.vocab_size() };
        Model::random(&Config::tiny(vocabulary, 16, 1, 2, 1), 1).unwrap().save(&at, Precision::F32).unwrap();
        tokenizer.save(&at).unwrap();
        let change = |file: &str, how: &dyn Fn(Vec<u8>) -> Vec<u8>| {
            let bytes = std::fs::read(at.join(file)).unwrap();
            std::fs::write(at.join(file), how(bytes)).unwrap();
        };
        let set = |file: &str, key: &'static str, value: serde_json::Value| {
            change(file, &|bytes| {
                let mut whole = json(&bytes);
                whole[key] = value.clone();
                whole.to_string().into_bytes()
            });
        };
        match name {
            "cut" => change("model.safetensors", &|bytes| bytes[..bytes.len() - 1].to_vec()),
            "headless" => change("model.safetensors", &|_| b"PK\x03\x04, not what was asked for".to_vec()),
            "other" => set("config.json", "hidden_size", 32.into()),
            "unknown" => set("config.json", "hidden_act", "gelu".into()),
            "garbled" => change("config.json", &|_| b"model_type: qwen2".to_vec()),
            "endless" => set("tokenizer_config.json", "eos_token", serde_json::Value::Null),
            "template" => set("tokenizer_config.json", "chat_template", "{% for %}".into()),
            _ => {}
        }
        let text = TRAINS.split_once("[model]").unwrap().1.split_once("[sft]").unwrap().1;
        let path = dir.join(format!("{name}.toml"));
        std::fs::write(&path, format!("[model]\nload = '{name}'\n[sft]{text}")).unwrap();
        (name, path.display().to_string())
    };
    rows.into_iter().map(recipe).collect()
}

/// No file may grow beyond 12 KiB: what a full disk does to a run, but for the system's words.
#[test]
fn a_checkpoint_that_cannot_be_written_costs_nothing_but_the_steps_since_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("r.toml"), TRAINS).unwrap();
    let [recipe, out] = ["r.toml", "out"].map(|name| path(name).display().to_string());
    let sft = ["sft", "--config", &recipe, "--out", &out];
    assert_eq!(assay_train(&sft).status.code(), Some(0));
    // As if it had been cut after the first of its two steps.
    std::fs::write(path("out/sft/trainer.json"), "{\"step\": 1, \"done\": false}\n").unwrap();
    let read = || -> BTreeMap<_, _> {
        let file = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.unwrap().path();
            (path.clone(), std::fs::read(&path).unwrap())
        };
        std::fs::read_dir(path("out/sft")).unwrap().map(file).collect()
    };
    let before = read();
    let limited = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 12; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_assay-train")])
        .args(sft)
        .arg("--resume")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&limited.stderr);
    let said: Vec<&str> = stderr.lines().filter(|line| line.starts_with("assay-train: ")).collect();
    assert_eq!(limited.status.code(), Some(3), "{stderr}");
    assert_eq!(said.len(), 1, "{stderr}");
    for word in ["sft.new/model.safetensors: File too large", "or choose another --out"] {
        assert!(said[0].contains(word), "{stderr}");
    }
    assert!(read() == before, "the checkpoint of before is whole");
    let mut left: Vec<_> =
        std::fs::read_dir(path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    // Not half a checkpoint.
    assert_eq!(left, ["recipe.toml", "sft", "sft-metrics.jsonl", "tensorboard"]);
    // With room again the run ends as if nothing had been.
    assert_eq!(assay_train(&[&sft[..], &["--resume"]].concat()).status.code(), Some(0));
    assert!(read() != before);
}

#[test]
fn help_teaches_and_a_wrong_flag_is_refused() {
    let help = assay_train(&["--help"]);
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(help.status.success());
    for word in
        ["quickstart", "sft", "rl", "calibrate", "sample", "eval", "serve", "export", "live", "Exit codes"]
    {
        assert!(text.contains(word), "{text}");
    }
    let wrong = assay_train(&["quickstart", "--sede", "3"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--sede"));
}

/// `rl` asked for an `sft` of one's own first, replaced a finished run without a word, and went on with a run by
/// another recipe, whose copy it overwrote.
#[test]
fn a_directory_holds_one_run_of_one_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("r.toml"), TRAINS).unwrap();
    std::fs::write(path("other.toml"), TRAINS.replace("learning_rate = 1e-4", "learning_rate = 2e-4"))
        .unwrap();
    std::fs::write(path("moved.toml"), format!("{TRAINS}[rewards]\nattempts = 2\n")).unwrap();
    let (recipe, other, moved, out) = (path("r.toml"), path("other.toml"), path("moved.toml"), path("out"));
    let run = |command: &str, recipe: &str, more: &[&str]| {
        let output = assay_train(&[&[command, "--config", recipe, "--out", &out], more].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // What a run that left nothing wrote is no one's; what a person wrote is.
    let text = |recipe: &str| std::fs::read_to_string(recipe).unwrap();
    std::fs::create_dir(&out).unwrap();
    std::fs::write(path("out/recipe.toml"), text(&other)).unwrap();
    let (code, stderr) = run("rl", &recipe, &[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(
        stderr.contains("rl[0].learning_rate") && text(&path("out/recipe.toml")) == text(&other),
        "{stderr}"
    );
    let recipes = [&recipe, &other].map(|recipe| Recipe::load(Path::new(recipe)).unwrap());
    let another = Recipe { seed: 9, ..recipes[1].clone() };
    std::fs::write(path("out/recipe.toml"), toml::to_string(&another).unwrap()).unwrap();
    let (code, stderr) = run("rl", &recipe, &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(Recipe::load(Path::new(&path("out/recipe.toml"))).unwrap(), recipes[0]);
    let files = ["recipe.toml", "metrics.jsonl", "sft/model.safetensors", "rl/model.safetensors"];
    let read = || files.map(|name| std::fs::read(dir.path().join("out").join(name)).unwrap());
    let left = read();
    let (code, stderr) = run("rl", &recipe, &["--control"]);
    assert_eq!(code, Some(0), "{stderr}");
    let control = dir.path().join("out/control/rl/model.safetensors");
    assert!(
        control.is_file() && left == read(),
        "the control stands beside the run and changes nothing of it"
    );
    let (code, stderr) = run("rl", &recipe, &["--control", "more-sft"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(dir.path().join("out/more-sft/sft/model.safetensors").is_file() && left == read());
    let rows: [(&str, &str, &[&str], &[&str]); 7] = [
        ("rl", &recipe, &["--control", "more-sft"], &["holds an earlier run (more-sft/sft)", "--resume"]),
        ("rl", &recipe, &[], &["holds an earlier run (rl)", "--resume", "another --out"]),
        ("rl", &recipe, &["--control"], &["holds an earlier run (control/rl)", "--resume"]),
        ("sft", &recipe, &[], &["holds an earlier run (rl)", "--resume", "another --out"]),
        ("rl", &other, &["--resume"], &["rl[0].learning_rate is 0.0002 here and 0.0001 there"]),
        ("sft", &other, &["--resume"], &["rl[0].learning_rate"]),
        ("eval", &recipe, &[], &["eval.problems"]),
    ];
    for (command, recipe, more, words) in rows {
        let (code, stderr) = run(command, recipe, more);
        assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{command} {more:?}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{command} {more:?} should name {word:?}: {stderr}");
        }
        assert!(left == read(), "{command} {more:?} changed a file");
    }
    let (code, stderr) = run("rl", &moved, &["--resume"]);
    assert_eq!(code, Some(0), "a verifier may have moved: {stderr}");

    std::fs::write(dir.path().join("out/metrics.jsonl"), "garbled\n").unwrap();
    let (code, stderr) = run("rl", &recipe, &["--resume"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(
        stderr.contains("metrics.jsonl: line 1 is not a step") && stderr.contains("move the file away"),
        "{stderr}"
    );
}

#[test]
fn a_bad_value_from_the_environment_is_named_with_its_variable() {
    let output = Command::new(env!("CARGO_BIN_EXE_assay-train"))
        .arg("quickstart")
        .env("ASSAY_SEED", "x")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("(from ASSAY_SEED)"), "{stderr}");
}
