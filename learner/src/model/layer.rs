//! One decoder layer, forward and backward.
//!
//! x2 = x + Wo attention(rope(Wq n), rope(Wk n), Wv n), n = norm(x);  y = x2 + Wd (silu(Wg m) * Wu m),
//! m = norm(x2). Under an adapter each W is W + s B A, of which A and B are trained (`lora.rs`). Normed states and the
//! MLP's product are cheap, so the backward pass computes them again; what it keeps is in `Activations`.

use candle_core::Tensor;

use super::parameters::{LayerSlots, LinearSlots};
use super::{Config, Gradients, Model};
use crate::error::Result;
use crate::ops::attention::{self, Heads};
use crate::ops::{Indices, linear, rms_norm, rope, swiglu};

/// Where the sequences of a packed batch begin, and each token's position in its own.
pub(super) struct Sequences {
    starts: Vec<usize>,
    positions: Indices,
}

impl Sequences {
    pub(super) fn new(starts: &[usize]) -> Sequences {
        let positions = Indices::new(starts.windows(2).flat_map(|pair| 0..pair[1] - pair[0]));
        Sequences { starts: starts.to_vec(), positions }
    }

    pub(super) fn longest(&self) -> usize {
        self.starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }
}

/// What the forward pass leaves for the backward pass.
pub(super) enum Kept {
    /// The layer's input; the rest is computed again.
    Input(Tensor),
    All(Activations),
}

/// What the backward pass of one layer reads.
pub(super) struct Activations {
    x: Tensor,
    inverse_rms: Tensor,
    pub(super) q: Tensor,
    pub(super) k: Tensor,
    pub(super) v: Tensor,
    attended: Tensor,
    log_sums: Tensor,
    middle: Tensor,
    middle_inverse_rms: Tensor,
    gate: Tensor,
    up: Tensor,
}

impl Activations {
    /// Bytes held, beside the layer's input.
    pub(super) fn bytes(&self) -> usize {
        let Activations { q, k, v, attended, middle, gate, up, .. } = self;
        let vectors = [&self.inverse_rms, &self.log_sums, &self.middle_inverse_rms];
        let tensors = [q, k, v, attended, middle, gate, up].into_iter().chain(vectors);
        tensors.map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes()).sum()
    }

    /// Bytes that so many tokens of such a model hold, the numbers of a matrix stored in `size` bytes each.
    pub(super) fn bytes_of(config: &Config, tokens: usize, size: usize) -> usize {
        let (d, q, kv) = (config.hidden_size, config.query_size(), config.key_value_size());
        let matrices = 2 * q + 2 * kv + d + 2 * config.intermediate_size;
        let vectors = 2 + config.num_attention_heads;
        tokens * (matrices * size + vectors * size_of::<f32>())
    }

    /// Keys (turned to their positions) and values: what the sampler's cache starts from.
    pub(super) fn into_keys_and_values(self) -> (Tensor, Tensor) {
        (self.k, self.v)
    }
}

impl Model {
    pub(crate) fn heads(&self) -> Heads {
        let config = self.config();
        Heads {
            query: config.num_attention_heads,
            key_value: config.num_key_value_heads,
            dim: config.head_dim,
        }
    }

    /// A linear of some rows: `W x + b`, and what its adapter adds.
    pub(crate) fn project(&self, x: &Tensor, slots: &LinearSlots) -> Result<Tensor> {
        let y = linear::forward(x, self.value(slots.weight), slots.bias.map(|bias| self.value(bias)))?;
        self.adapter_of(slots).map_or(Ok(()), |adapter| adapter.add(&y, x))?;
        Ok(y)
    }

    /// `residual + W x`, and what the linear's adapter adds.
    pub(crate) fn project_add(&self, residual: &Tensor, x: &Tensor, slots: &LinearSlots) -> Result<Tensor> {
        let y = linear::forward_add(residual, x, self.value(slots.weight))?;
        self.adapter_of(slots).map_or(Ok(()), |adapter| adapter.add(&y, x))?;
        Ok(y)
    }

    pub(crate) fn normed(&self, x: &Tensor, slot: usize) -> Result<(Tensor, Tensor)> {
        rms_norm::forward(x, self.value(slot), self.config().rms_norm_eps)
    }

    /// The second half of a layer: the MLP and its residual. Also what the backward pass keeps of it.
    pub(crate) fn mlp(
        &self,
        slots: &LayerSlots,
        middle: &Tensor,
    ) -> Result<(Tensor, Tensor, Tensor, Tensor)> {
        let (normed, inverse_rms) = self.normed(middle, slots.mlp_norm)?;
        let gate = self.project(&normed, &slots.gate)?;
        let up = self.project(&normed, &slots.up)?;
        let y = self.project_add(middle, &swiglu::forward(&gate, &up)?, &slots.down)?;
        Ok((y, inverse_rms, gate, up))
    }
}

/// Bytes beside what a layer keeps, where its backward pass takes the most: the MLP's product, its three derivatives, the
/// normed states and their derivative, and the layer's own.
pub(super) fn backward_bytes(config: &Config, tokens: usize, size: usize) -> usize {
    tokens * (4 * config.intermediate_size + 3 * config.hidden_size) * size
}

/// Bytes beside what a layer keeps, where its forward pass takes the most: both normed states, the MLP's product, the
/// layer's output.
pub(super) fn forward_bytes(config: &Config, tokens: usize, size: usize) -> usize {
    tokens * (config.intermediate_size + 3 * config.hidden_size) * size
}

pub(super) fn forward(
    model: &Model,
    slots: &LayerSlots,
    x: &Tensor,
    sequences: &Sequences,
    angles: &rope::Angles,
) -> Result<(Tensor, Activations)> {
    let (normed, inverse_rms) = model.normed(x, slots.input_norm)?;
    let q = model.project(&normed, &slots.query)?;
    let k = model.project(&normed, &slots.key)?;
    let v = model.project(&normed, &slots.value)?;
    rope::forward(&q, &sequences.positions, angles)?;
    rope::forward(&k, &sequences.positions, angles)?;
    let (attended, log_sums) = attention::forward(&q, &k, &v, &sequences.starts, model.heads())?;
    let middle = model.project_add(x, &attended, &slots.output)?;
    let (y, middle_inverse_rms, gate, up) = model.mlp(slots, &middle)?;
    let x = x.clone();
    let kept =
        Activations { x, inverse_rms, q, k, v, attended, log_sums, middle, middle_inverse_rms, gate, up };
    Ok((y, kept))
}

/// dLoss/dx from dLoss/dy; adds to the gradients of the layer's parameters.
pub(super) fn backward(
    model: &Model,
    slots: &LayerSlots,
    kept: Activations,
    dy: &Tensor,
    sequences: &Sequences,
    angles: &rope::Angles,
    gradients: &Gradients,
) -> Result<Tensor> {
    let d_middle = backward_mlp(model, slots, &kept, dy, gradients)?;

    let d_attended = backward_linears(model, &[(&d_middle, &slots.output)], &kept.attended, gradients)?;
    let saved = [&kept.q, &kept.k, &kept.v, &kept.attended];
    let [dq, dk, dv] =
        attention::backward(&d_attended, saved, &kept.log_sums, &sequences.starts, model.heads())?;
    rope::backward(&dq, &sequences.positions, angles)?;
    rope::backward(&dk, &sequences.positions, angles)?;

    let norm = model.value(slots.input_norm);
    let normed = rms_norm::again(&kept.x, &kept.inverse_rms, norm, model.config().rms_norm_eps)?;
    let linears = [(&dq, &slots.query), (&dk, &slots.key), (&dv, &slots.value)];
    let d_normed = backward_linears(model, &linears, &normed, gradients)?;
    let d_norm = gradients.value(slots.input_norm);
    rms_norm::backward(Some(&d_middle), &d_normed, &kept.x, &kept.inverse_rms, norm, d_norm)
}

fn backward_mlp(
    model: &Model,
    slots: &LayerSlots,
    kept: &Activations,
    dy: &Tensor,
    gradients: &Gradients,
) -> Result<Tensor> {
    let product = swiglu::forward(&kept.gate, &kept.up)?;
    let d_product = backward_linears(model, &[(dy, &slots.down)], &product, gradients)?;
    let (d_gate, d_up) = swiglu::backward(&d_product, &kept.gate, &kept.up)?;

    let norm = model.value(slots.mlp_norm);
    let normed = rms_norm::again(&kept.middle, &kept.middle_inverse_rms, norm, model.config().rms_norm_eps)?;
    let d_normed =
        backward_linears(model, &[(&d_gate, &slots.gate), (&d_up, &slots.up)], &normed, gradients)?;
    let d_norm = gradients.value(slots.mlp_norm);
    rms_norm::backward(Some(dy), &d_normed, &kept.middle, &kept.middle_inverse_rms, norm, d_norm)
}

/// dLoss/dx of an `x` that went into these linears, from dLoss/dy of each; adds to the gradients of those of their
/// parameters that are trained.
fn backward_linears(
    model: &Model,
    linears: &[(&Tensor, &LinearSlots)],
    x: &Tensor,
    gradients: &Gradients,
) -> Result<Tensor> {
    let mut of_adapters = Vec::new();
    for (dy, slots) in linears {
        if let Some(d_weight) = gradients.value(slots.weight) {
            linear::backward_weight(dy, x, d_weight)?;
        }
        if let Some(d_bias) = slots.bias.and_then(|bias| gradients.value(bias)) {
            linear::backward_bias(dy, d_bias)?;
        }
        if let (Some(adapter), Some([a, b])) = (model.adapter_of(slots), slots.adapter)
            && let (Some(d_a), Some(d_b)) = (gradients.value(a), gradients.value(b))
        {
            of_adapters.push((adapter.backward(dy, x, [d_a, d_b])?, adapter.a));
        }
    }
    let mut products: Vec<(&Tensor, &Tensor)> =
        linears.iter().map(|(dy, slots)| (*dy, model.value(slots.weight))).collect();
    products.extend(of_adapters.iter().map(|(d_low, a)| (d_low, *a)));
    linear::backward_input(&products)
}
