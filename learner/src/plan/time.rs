//! The least time of a step: the operations and bytes that cannot be saved, at the machine's peaks.

use serde::Serialize;

use super::Planner;
use crate::recipe::Stage;

/// Seconds of a step at the machine's peaks, grading left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Floor {
    /// Tokens of a completion that it is counted with.
    pub completion_length: usize,
    /// Tokens that a step samples and trains on.
    pub tokens: f64,
    /// Operations of all of it.
    pub flops: f64,
    /// Sampling.
    pub seconds_rollout: f64,
    /// Forward, backward, optimizer.
    pub seconds_update: f64,
}

impl Planner<'_> {
    /// Of a stage in which so many completions advance at once, and so many layers go forward twice.
    pub(super) fn floor(
        &self,
        stage: &Stage,
        mean_length: Option<usize>,
        at_once: usize,
        again: usize,
    ) -> Floor {
        let (config, machine) = (self.config, self.machine);
        let length =
            mean_length.map_or(stage.max_completion_length, |mean| mean.min(stage.max_completion_length));
        let (prompts, rollouts) =
            (stage.prompts_per_step() as f64, (stage.prompts_per_step() * stage.rollouts) as f64);
        let (prompt, completion) = (self.prompt.tokens as f64, length as f64);
        let head = (config.vocab_size * config.hidden_size) as f64;
        let layers = config.num_hidden_layers as f64;
        let embeddings = head * if config.tie_word_embeddings { 1.0 } else { 2.0 };
        let matrices = config.parameter_count() as f64 - embeddings;
        // Scores and values, over half of the positions in the mean.
        let attention = |tokens: f64| 4.0 * layers * config.query_size() as f64 * tokens / 2.0;

        let drawn = rollouts * completion;
        let of_prompts = prompts * prompt * (2.0 * matrices + attention(prompt));
        let of_draws = drawn * (2.0 * (matrices + head) + attention(completion + 2.0 * prompt));
        // Every step of decoding reads all weights, and each completion its keys and values.
        let steps = (rollouts / at_once as f64).ceil() * completion;
        let weights = (config.parameter_count() * self.size) as f64;
        let position = (2.0 * layers) * (config.key_value_size() * self.size) as f64;
        let read = steps * weights + drawn * position * (prompt + completion / 2.0);
        let seconds =
            |flops: f64, bytes: f64| (flops / machine.flops_per_second).max(bytes / machine.bytes_per_second);
        let seconds_rollout = seconds(of_prompts, 0.0) + seconds(of_draws, read);

        let all = rollouts * (prompt + completion);
        // Forward, twice as much backward (under an adapter once: the weights have no gradient), and the layers that are
        // computed again; attention's scores are computed again too.
        let passes = if self.adapter.is_some() { 2.0 } else { 3.0 };
        let of_head = drawn * 2.0 * head * (passes + 1.0);
        let passes = passes + again as f64 / layers;
        let of_layers = all * (2.0 * matrices * passes + attention(prompt + completion) * (passes + 0.5));
        let (moved, sent) = self.optimizer_bytes();
        let step = moved / machine.bytes_per_second + sent / machine.link_bytes_per_second;
        let seconds_update = seconds(of_layers + of_head, 0.0) + step * stage.loss.updates as f64;
        Floor {
            completion_length: length,
            tokens: drawn,
            flops: of_prompts + of_draws + of_layers + of_head,
            seconds_rollout,
            seconds_update,
        }
    }

    /// Bytes that a step of the optimizer reads and writes, and those that go to the host and come back.
    fn optimizer_bytes(&self) -> (f64, f64) {
        let (gradients, weights) =
            ((self.trained * size_of::<f32>()) as f64, (self.trained * self.size) as f64);
        if self.machine.gpu && self.recipe.adamw.moments.in_host_memory() {
            return (gradients + weights, gradients + weights);
        }
        (gradients + 2.0 * weights + 2.0 * self.states as f64, 0.0)
    }
}
