//! The engine's memory over a long run: what one step takes is given back, step after step.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "common/memory.rs"]
mod memory;

use std::path::Path;
use std::process::Command;

use assay_learner::model::{Batch, Config, Model};
use assay_learner::optim::AdamW;
use assay_learner::progress::Progress;
use assay_learner::recipe::Recipe;
use assay_learner::run::Run;
use assay_learner::sampler::{Cache, Sampler, SamplingParams};

/// Bytes of this process in memory.
fn resident() -> Option<usize> {
    memory::own("VmRSS")
}

/// A thousand rounds of sampling, ten steps of the sampler each, with so small a cache that rollouts make room, and of
/// training on what was sampled.
#[test]
fn memory_is_flat_over_ten_thousand_sampling_and_a_thousand_training_steps() {
    let Some(_) = resident() else {
        eprintln!("SKIPPED: no /proc/self/status on this host");
        return;
    };
    let mut model = Model::random(&Config::tiny(300, 32, 2, 4, 2), 1).unwrap();
    model.set_activation_bytes(0);
    let mut optimizer = AdamW::new(&model).unwrap();
    let prompts: Vec<Vec<u32>> = (1..5).map(|length| (0..length * 3).collect()).collect();
    let mut measured = Vec::new();
    for round in 0..1000 {
        let params =
            SamplingParams { rollouts: 2, max_new_tokens: 11, seed: round, ..SamplingParams::default() };
        let sampler = Sampler::new(&model).with_cache(Cache { page: 4, tokens: 96 });
        let rollouts = sampler.generate(&prompts, &params).unwrap();
        let mut batch = Batch::new();
        for (index, rollout) in rollouts.iter().enumerate() {
            batch.push(&prompts[index / 2], &rollout.completion_ids).unwrap();
        }
        let count = batch.response_tokens();
        assert_eq!(count, 88);
        let (_, gradients) = model.loss_backward(&batch, 1.0, &|_| vec![-1.0 / count as f32; count]).unwrap();
        optimizer.update(&mut model, &gradients, 1e-3).unwrap();
        if round % 100 == 99 {
            measured.push(resident().unwrap());
        }
    }
    // Threads and the allocator take what they keep in the first rounds; a kilobyte lost at every step would be ten
    // megabytes by the end.
    let (settled, last) = (measured[1..4].iter().max().unwrap(), measured.last().unwrap());
    assert!(*last <= settled + (2 << 20), "bytes after every hundred rounds: {measured:?}");
}

/// Names the depth of the model that this process is to train.
const DEPTH: &str = "ASSAY_TEST_DEPTH";
const SHALLOW: usize = 3;
const DEEP: usize = 4 * SHALLOW;
const WIDTH: usize = 128;
const INNER: usize = 512;
/// Rows of a step, and bytes of a row, which are tokens of a fresh model; the last of them ends the text.
const ROWS: usize = 32;
const LENGTH: usize = 128;

/// Two steps of SFT of so many layers, none of which may keep more than its input.
fn recipe(folder: &Path, depth: usize) -> Recipe {
    let row =
        format!("{{\"input\": \"{}=\", \"output\": \"{}\"}}\n", "7".repeat(63), "8".repeat(LENGTH - 65));
    std::fs::write(folder.join("rows.jsonl"), row.repeat(2 * ROWS)).unwrap();
    let text = format!(
        "seed = 1\n[model]\nhidden_size = {WIDTH}\nintermediate_size = {INNER}\nnum_hidden_layers = {depth}\n\
         num_attention_heads = 4\nnum_key_value_heads = 2\nmax_position_embeddings = {LENGTH}\nmax_activation_bytes = 0\n\
         [sft]\nfile = 'rows.jsonl'\nfile_rows = {ROWS}\nsteps = 2\nlearning_rate = 1e-4\n"
    );
    let path = folder.join("recipe.toml");
    std::fs::write(&path, text).unwrap();
    Recipe::load(&path).unwrap()
}

/// With nothing of a layer kept but its input, a layer more costs its weights, gradients and two moments, and that input:
/// four times the depth is not four times the activations.
#[test]
fn memory_grows_with_depth_by_the_weights_and_the_layers_inputs_alone() {
    let folder = tempfile::tempdir().unwrap();
    if let Ok(depth) = std::env::var(DEPTH) {
        let recipe = recipe(folder.path(), depth.parse().unwrap());
        Run::start(recipe, folder.path(), Progress::quiet()).unwrap().sft(false).unwrap();
        eprintln!("peak: {}", memory::own("VmHWM").unwrap());
        return;
    }
    let Some(_) = resident() else {
        eprintln!("SKIPPED: no /proc/self/status on this host");
        return;
    };
    // Keys and values have half the width; two norms, three biases.
    let parameters = 3 * WIDTH * WIDTH + 3 * WIDTH * INNER + 4 * WIDTH;
    let of_a_layer = 4 * (4 * parameters + ROWS * LENGTH * WIDTH);
    let expected = ((DEEP - SHALLOW) * of_a_layer) as f64;
    // What a layer would keep is several times that.
    let kept = 4 * ROWS * LENGTH * (4 * WIDTH + 2 * INNER);
    assert!(kept > 3 * of_a_layer);
    // What one thread has not given back yet when another takes more is chance, on a busy machine more of it.
    let close = (0..5).any(|_| {
        let grown = peak_of(DEEP) - peak_of(SHALLOW);
        eprintln!("{grown} bytes more, {expected} expected, {:+.1} %", 100.0 * (grown / expected - 1.0));
        (grown / expected - 1.0).abs() < 0.1
    });
    assert!(close, "off by 10 % or more, five times");
}

/// The greatest number of bytes in memory of a process that trains a model of this depth.
fn peak_of(depth: usize) -> f64 {
    let test =
        ["--exact", "memory_grows_with_depth_by_the_weights_and_the_layers_inputs_alone", "--nocapture"];
    let mut command = Command::new(std::env::current_exe().unwrap());
    let out = command.args(test).env(DEPTH, depth.to_string()).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    let line = said.lines().find_map(|line| line.strip_prefix("peak: "));
    line.and_then(|line| line.parse().ok()).unwrap_or_else(|| panic!("{depth} layers: {said}"))
}
