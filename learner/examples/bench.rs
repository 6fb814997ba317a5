//! Our side of `scripts/bench_vs_torch.py`: reads one JSON request on standard input, measures, writes one JSON answer.
//!
//! Request: `model` (directory), `job` (`train` or `sample`), `prompts` (token ids), and for `train` `steps` (each of all
//! prompts), for `sample` `lengths` (new tokens of each prompt) and `batch_invariant`. Answers `tokens_per_second`,
//! `tokens_per_cpu_second` (of all threads), `peak_bytes` (of this process), and from the start of the process `seconds_to_ready` (the model is loaded) and
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
    let Done { tokens, from, first } = match request.job.as_str() {
        "train" => train(&mut model, &request, started)?,
        _ => sample(&model, &request, started)?,
    };
    let (seconds, cpu_seconds) = (from.0.elapsed().as_secs_f64(), cpu_seconds()? - from.1);
    let answer = json!({
        "tokens_per_second": tokens as f64 / seconds,
        "tokens_per_cpu_second": tokens as f64 / cpu_seconds,
        "peak_bytes": peak()?,
        "seconds_to_ready": ready,
        "seconds_to_first": first,
    });
    println!("{answer}");
    Ok(())
}

/// What was done after the first step or token.
struct Done {
    tokens: usize,
    /// When it began, and what CPU time had been taken by then.
    from: (Instant, f64),
    /// Seconds from the start to the end of the first.
    first: f64,
}

fn train(model: &mut Model, request: &Request, started: Instant) -> Result<Done, Box<dyn Error>> {
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
    let from = (Instant::now(), cpu_seconds()?);
    (0..request.steps).try_for_each(|_| step(model))?;
    Ok(Done { tokens: request.steps * batch.tokens().len(), from, first })
}

fn sample(model: &Model, request: &Request, started: Instant) -> Result<Done, Box<dyn Error>> {
    let sampler = Sampler::new(model);
    let batch_invariant = request.batch_invariant;
    let params = SamplingParams { seed: 1, batch_invariant, ..SamplingParams::default() };
    let one = vec![1; request.prompts.len()];
    sampler.generate_up_to(&request.prompts, &one, &params)?;
    let first = started.elapsed().as_secs_f64();
    let from = (Instant::now(), cpu_seconds()?);
    let all = sampler.generate_up_to(&request.prompts, &request.lengths, &params)?;
    let tokens = all.iter().map(|one| one.completion_ids.len()).sum();
    Ok(Done { tokens, from, first })
}

/// CPU time that this process has taken.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // User and system time, in hundredths of a second; the name in brackets may hold blanks.
    let fields = stat.rsplit(')').next().ok_or("no name")?.split_whitespace().skip(11).take(2);
    Ok(fields.map(str::parse::<f64>).sum::<Result<f64, _>>()? / 100.0)
}

/// The most memory this process ever had, in bytes.
fn peak() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
}
