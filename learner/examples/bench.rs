//! Our side of `scripts/bench_vs_torch.py`: reads one JSON request on standard input, measures, writes one JSON answer.
//!
//! Request: `model` (directory), `job` (`train` or `sample`), `prompts` (token ids), and for `train` `steps` (each of all
//! prompts), for `sample` `lengths` (new tokens of each prompt) and `batch_invariant`. Answers `tokens_per_second`,
//! `peak_bytes` (of this process), and from the start of the process `seconds_to_ready` (the model is loaded) and
//! `seconds_to_first` (the first step or token is done).

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use assay_learner::model::{Batch, Model};
use assay_learner::optim::AdamW;
use assay_learner::sampler::{Sampler, SamplingParams};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Request {
    model: PathBuf,
    job: String,
    prompts: Vec<Vec<u32>>,
    #[serde(default)]
    steps: usize,
    #[serde(default)]
    lengths: Vec<usize>,
    #[serde(default)]
    batch_invariant: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let request: Request = serde_json::from_reader(std::io::stdin().lock())?;
    let mut model = Model::load(&request.model)?;
    let ready = started.elapsed().as_secs_f64();
    let (tokens, seconds, first) = match request.job.as_str() {
        "train" => train(&mut model, &request, started)?,
        _ => sample(&model, &request, started)?,
    };
    let answer = json!({
        "tokens_per_second": tokens as f64 / seconds,
        "peak_bytes": peak()?,
        "seconds_to_ready": ready,
        "seconds_to_first": first,
    });
    println!("{answer}");
    Ok(())
}

/// Tokens, seconds without the first step, and seconds from the start to the end of the first.
fn train(
    model: &mut Model,
    request: &Request,
    started: Instant,
) -> Result<(usize, f64, f64), Box<dyn Error>> {
    let mut optimizer = AdamW::new(model)?;
    let mut batch = Batch::new();
    for prompt in &request.prompts {
        batch.push(&prompt[..1], &prompt[1..])?;
    }
    let count = batch.response_tokens();
    let mut step = |model: &mut Model| -> Result<(), Box<dyn Error>> {
        let (_, gradients) = model.loss_backward(&batch, 1.0, &|_| vec![-1.0 / count as f32; count])?;
        Ok(optimizer.update(model, &gradients, 1e-4)?)
    };
    step(model)?;
    let first = started.elapsed().as_secs_f64();
    let from = Instant::now();
    (0..request.steps).try_for_each(|_| step(model))?;
    Ok((request.steps * batch.tokens().len(), from.elapsed().as_secs_f64(), first))
}

fn sample(model: &Model, request: &Request, started: Instant) -> Result<(usize, f64, f64), Box<dyn Error>> {
    let sampler = Sampler::new(model);
    let batch_invariant = request.batch_invariant;
    let params = SamplingParams { seed: 1, batch_invariant, ..SamplingParams::default() };
    let one = vec![1; request.prompts.len()];
    sampler.generate_up_to(&request.prompts, &one, &params)?;
    let first = started.elapsed().as_secs_f64();
    let from = Instant::now();
    let all = sampler.generate_up_to(&request.prompts, &request.lengths, &params)?;
    let tokens = all.iter().map(|one| one.completion_ids.len()).sum();
    Ok((tokens, from.elapsed().as_secs_f64(), first))
}

/// The most memory this process ever had, in bytes.
fn peak() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
}
