//! Tokens per second of sampling and training at the quickstart's size, on this machine, now.
//!
//! `cargo run -p assay-learner --example speed [-- LAYERS WIDTH VOCABULARY PROMPTS ROLLOUTS NEW_TOKENS]`

use std::error::Error;
use std::time::Instant;

use assay_learner::model::{Batch, Config, Model};
use assay_learner::optim::AdamW;
use assay_learner::sampler::{Sampler, SamplingParams};

fn main() -> Result<(), Box<dyn Error>> {
    let defaults = [3, 128, 300, 64, 8, 24];
    let given: Vec<usize> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let at = |index: usize| given.get(index).copied().unwrap_or(defaults[index]);
    let (layers, width, vocabulary, prompts, rollouts, new_tokens) =
        (at(0), at(1), at(2), at(3), at(4), at(5));
    let mut model = Model::random(&Config::tiny(vocabulary, width, layers, 4, 2), 1)?;
    println!(
        "{} parameters, {prompts} prompts of 16 tokens x {rollouts} rollouts x {new_tokens} new tokens",
        model.config().parameter_count()
    );
    let prompts: Vec<Vec<u32>> =
        (0..prompts).map(|p| (0..16).map(|i| ((p * 31 + i * 7) % vocabulary) as u32).collect()).collect();
    let params = SamplingParams { max_new_tokens: new_tokens, rollouts, ..SamplingParams::default() };
    let mut optimiser = AdamW::new(&model)?;
    for _ in 0..5 {
        let start = Instant::now();
        let generated = Sampler::new(&model).generate(&prompts, &params)?;
        let sampling = start.elapsed().as_secs_f64();
        let mut batch = Batch::new();
        for (index, one) in generated.iter().enumerate() {
            batch.push(&prompts[index / rollouts], &one.completion_ids)?;
        }
        let start = Instant::now();
        let (_, gradients) = model.loss_backward(&batch, 1.0, &|stats| vec![-1e-3; stats.logprob.len()])?;
        let backward = start.elapsed().as_secs_f64();
        let start = Instant::now();
        optimiser.update(&mut model, &gradients, 1e-5)?;
        let update = start.elapsed().as_secs_f64();
        let start = Instant::now();
        model.score(&batch, 1.0)?;
        let score = start.elapsed().as_secs_f64();
        println!(
            "sample {:7.0} new tokens/s ({sampling:.3} s)  train {:7.0} tokens/s ({backward:.3} s)  \
             score {:7.0} tokens/s  update {:.1} ms",
            batch.response_tokens() as f64 / sampling,
            batch.tokens().len() as f64 / backward,
            batch.tokens().len() as f64 / score,
            update * 1e3
        );
    }
    Ok(())
}
