//! What a forward and backward pass takes, from the shape alone. It stands beside what it counts: `layer.rs` and
//! `Model::add_loss_backward`. Nothing here bounds a pass; it is what `assay-train plan` says of one.

use super::Config;
use super::layer::{Activations, backward_bytes, forward_bytes};
use crate::ops::{gpu, head};

/// Tokens that go through a model together, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    /// All of them.
    pub(crate) tokens: usize,
    /// Those with a log-probability.
    pub(crate) targets: usize,
    /// Bytes of a stored number.
    pub(crate) size: usize,
    pub(crate) on_gpu: bool,
}

/// Bytes of a backward pass beside parameters and gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backward {
    /// What the forward pass leaves.
    pub(crate) kept: usize,
    /// What the head takes beside that.
    pub(crate) head: usize,
    /// What the last layer, the first to go backward, takes beside that.
    pub(crate) layer: usize,
    /// Layers whose forward pass is computed again.
    pub(crate) again: usize,
}

impl Pass {
    /// A backward pass in which layers may keep `room` bytes beside their inputs.
    pub(crate) fn backward(self, config: &Config, room: usize) -> Backward {
        let Pass { tokens, targets, size, .. } = self;
        let states = |rows: usize| rows * config.hidden_size * size;
        let layers = config.num_hidden_layers;
        let one = Activations::bytes_of(config, tokens, size);
        let whole = layers.min(room / one.max(1));
        let again = layers - whole;
        // The inputs, the last layer's output, and that normed.
        let kept = states(tokens) * (layers + 2) + whole * one;
        let recomputed = if again > 0 { one } else { 0 };
        // dLoss/dhidden of the targets and of all tokens, and dLoss/dy.
        let derivatives = states(targets) + 2 * states(tokens);
        Backward {
            kept,
            head: 2 * states(targets) + self.logits(config) + 5 * targets * size_of::<f32>(),
            layer: recomputed + backward_bytes(config, tokens, size) + derivatives,
            again,
        }
    }

    /// The logits of a chunk of targets.
    fn logits(self, config: &Config) -> usize {
        let numbers = if self.on_gpu { gpu::CHUNK_NUMBERS } else { head::CHUNK_NUMBERS };
        head::rows_of_chunk(numbers, config.vocab_size).min(self.targets) * config.vocab_size * self.size
    }

    /// A forward pass that keeps nothing but every layer's keys and values, as that of prompts does: what it leaves, and what
    /// a layer takes beside that.
    pub(crate) fn prefill(self, config: &Config) -> [usize; 2] {
        let Pass { tokens, size, .. } = self;
        let cache = 2 * config.num_hidden_layers * tokens * config.key_value_size() * size;
        let states = tokens * config.hidden_size * size;
        let layer = Activations::bytes_of(config, tokens, size) + forward_bytes(config, tokens, size);
        [cache + states, layer + states]
    }

    /// One more token of each of as many completions, of which `logits` numbers are held at a time.
    pub(crate) fn decode(self, config: &Config, logits: usize) -> usize {
        let rows = (logits / config.vocab_size).clamp(1, self.tokens.max(1));
        let one = Activations::bytes_of(config, self.tokens, self.size);
        one + forward_bytes(config, self.tokens, self.size) + rows * config.vocab_size * self.size
    }
}
