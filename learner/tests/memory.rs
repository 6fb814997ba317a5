//! The engine's memory over a long run: what one step takes is given back, step after step.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "common/memory.rs"]
mod memory;

use assay_learner::model::{Batch, Config, Model};
use assay_learner::optim::AdamW;
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
