//! Every mistake gives one clear line and the right exit code.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::path::Path;
use std::process::{Command, Output};

use assay_learner::recipe::Recipe;

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
    std::fs::write(path("a-file"), "").unwrap();
    let (out, missing, inside) = (path("out"), path("missing.toml"), path("a-file/out"));
    let (unknown, plain, file, load) =
        (path("unknown.toml"), path("plain.toml"), path("file.toml"), path("load.toml"));
    std::fs::write(path("url.toml"), format!("{TRAINS}[rewards]\nurls = ['zzz']\n")).unwrap();
    std::fs::write(path("trains.toml"), TRAINS).unwrap();
    let (url, trains, afile) = (path("url.toml"), path("trains.toml"), path("a-file"));
    // A checkpoint that lacks its tokenizer.
    std::fs::create_dir_all(path("bare")).unwrap();
    std::fs::write(path("bare/config.json"), CONFIG).unwrap();
    std::fs::write(
        path("bare.toml"),
        "[model]\nload = 'bare'\n[sft]\nrows = { arithmetic = 2 }\nsteps = 1\nlearning_rate = 1e-3\n",
    )
    .unwrap();
    let (bare, base): (_, &[&str]) = (path("bare.toml"), &["--config", &trains, "--out", &out]);
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
    let rows: [(&str, &str, &[&str], &[&str]); 5] = [
        ("rl", &recipe, &[], &["holds an earlier run (rl)", "--resume", "another --out"]),
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
