//! The policy: a Qwen2- or Llama-type decoder of which every parameter is trained, or only an adapter on it.
//!
//! # Theory of operation
//! A `Batch` is packed: `tokens x hidden` matrices without padding, each sequence attending to itself. The
//! backward pass is written by hand, layer by layer (`layer.rs`), over the ops of `crate::ops`; there is no
//! tape. What a layer keeps for its backward pass is in one struct; beyond `set_activation_bytes` only a
//! layer's input is kept and the rest computed again. The head never holds tokens x vocabulary: it works on
//! row chunks and yields log-probability, entropy and variance per response token.

mod batch;
mod config;
mod gradients;
mod layer;
mod lora;
pub(crate) mod memory;
mod parameters;

use std::ops::Range;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

pub use self::batch::Batch;
pub use self::config::Config;
pub use self::gradients::Gradients;
use self::layer::{Activations, Kept, Sequences};
pub use self::lora::{Lora, Target};
pub(crate) use self::parameters::shapes;
use self::parameters::{LinearSlots, Slots};
use crate::adapter;
use crate::checkpoint;
use crate::cuda::{self, Gpu, Stored};
use crate::error::{EngineError, Result};
use crate::gguf::{self, Gguf};
use crate::ops::low_rank::LowRank;
use crate::ops::{self, embedding, head, rms_norm, rope};

pub use crate::checkpoint::{MAX_SHARD_BYTES, Precision};
pub use crate::ops::head::TokenStats;

/// The policy: f32 parameters (on a GPU bf16 ones, too). All of them are trained, or, under an adapter, the adapter's alone.
/// Dropping it frees them; there is no second copy.
#[derive(Debug)]
pub struct Model {
    config: Config,
    /// The model's own, then those of the adapter.
    names: Vec<String>,
    values: Vec<Tensor>,
    /// How many of them are the model's own.
    own: usize,
    slots: Slots,
    adapter: Option<Lora>,
    bounds: Bounds,
}

/// Bytes that layers keep for the backward pass beside their inputs, unless set.
pub(crate) const ACTIVATION_BYTES: usize = 2 << 30;

/// What bounds the memory of a pass and decides nothing of its results, but for rounding.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    activation_bytes: usize,
    /// Numbers of logits held at a time; unset, what is worth it where the model lies.
    logits: Option<usize>,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { activation_bytes: ACTIVATION_BYTES, logits: None }
    }
}

impl Model {
    /// A fresh model: matrices normal with `initializer_range`, norms 1, biases 0; the same for the same seed.
    ///
    /// # Errors
    /// The configuration's numbers do not fit together.
    pub fn random(config: &Config, seed: u64) -> Result<Model> {
        config.check().map_err(EngineError::Input)?;
        // One at a time, so that they are never all in both places.
        let values = parameters::random(config, seed)?.into_iter().map(cuda::place).collect::<Result<_>>()?;
        Ok(Model::from_parts(config.clone(), values))
    }

    /// Reads `config.json` and `model.safetensors` (or the files of `model.safetensors.index.json`) of a
    /// directory, or a `.gguf` file; whatever the numbers are stored as becomes f32.
    ///
    /// # Errors
    /// A file is missing or unreadable, or a parameter is missing, of a wrong shape, or unknown.
    pub fn load(directory: &Path) -> Result<Model> {
        if gguf::is_one(directory) {
            let mut file = Gguf::open(directory)?;
            let config = file.config()?;
            let values = file.tensors(&config, &shapes(&config), cuda::place)?;
            return Ok(Model::from_parts(config, values));
        }
        if adapter::is_one(directory) {
            let what = "it holds an adapter and no model; name the model it is on, and the adapter as --adapter or, in a \
                recipe, as lora.load";
            return Err(EngineError::checkpoint(directory, what));
        }
        let config = Config::load(&directory.join("config.json"))?;
        let values = checkpoint::load(directory, &shapes(&config), cuda::place)?;
        Ok(Model::from_parts(config, values))
    }

    /// As [`Model::save_in_shards`] with the field's own greatest size of a file, 5 GB.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn save(&self, directory: &Path, precision: Precision) -> Result<()> {
        self.save_in_shards(directory, precision, MAX_SHARD_BYTES)
    }

    /// Writes `config.json` and `model.safetensors`, or, where the parameters are more bytes than `max_shard_bytes`, shards of
    /// at most so many and `model.safetensors.index.json`; each file whole or not at all. Creates the directory.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn save_in_shards(&self, directory: &Path, precision: Precision, max_shard_bytes: u64) -> Result<()> {
        checkpoint::save(directory, &self.config.to_json(), self.parameters(), precision, max_shard_bytes)
    }

    /// Puts a fresh low-rank adapter on the model, in place of any that is there: it changes nothing yet, and from now on
    /// it is what is trained. The model's own parameters stay as they are. The same for the same seed.
    ///
    /// # Errors
    /// The tensor layer refused.
    pub fn adapt(&mut self, lora: &Lora, seed: u64) -> Result<()> {
        let values = lora.random(&self.config, seed)?;
        self.put_adapter(lora, values)
    }

    /// As `adapt`, with these tensors, in the order of the form's shapes.
    pub(crate) fn put_adapter(&mut self, lora: &Lora, values: Vec<Tensor>) -> Result<()> {
        self.drop_adapter();
        self.slots.adapt(lora, self.own);
        self.names.extend(lora.shapes(&self.config).into_iter().map(|(name, _)| name));
        let placed = values.into_iter().map(cuda::place).collect::<Result<Vec<_>>>()?;
        self.values.extend(placed);
        self.adapter = Some(lora.clone());
        Ok(())
    }

    fn drop_adapter(&mut self) {
        self.names.truncate(self.own);
        self.values.truncate(self.own);
        self.slots = Slots::new(&self.config);
        self.adapter = None;
    }

    /// Adds the adapter to the weights it is on, in place, and drops it: the model computes the same, to rounding, and is
    /// trained whole again.
    ///
    /// # Errors
    /// The tensor layer refused.
    pub fn merge_adapter(&mut self) -> Result<()> {
        for slots in self.slots.linears() {
            self.adapter_of(slots).map_or(Ok(()), |adapter| adapter.merge(self.value(slots.weight)))?;
        }
        self.drop_adapter();
        Ok(())
    }

    /// The adapter's form, where there is one.
    pub fn adapter(&self) -> Option<&Lora> {
        self.adapter.as_ref()
    }

    /// The model under the adapter, for another one: its parameters are shared, as none of them is trained; without an
    /// adapter there is no such model.
    pub(crate) fn base(&self) -> Option<Model> {
        self.adapter.as_ref()?;
        let (config, slots) = (self.config.clone(), Slots::new(&self.config));
        let (names, values) = (self.names[..self.own].to_vec(), self.values[..self.own].to_vec());
        let (own, bounds) = (self.own, self.bounds);
        Some(Model { config, names, values, own, slots, adapter: None, bounds })
    }

    fn from_parts(config: Config, values: Vec<Tensor>) -> Model {
        let names = shapes(&config).into_iter().map(|(name, _)| name).collect();
        let (own, slots) = (values.len(), Slots::new(&config));
        Model { config, names, values, own, slots, adapter: None, bounds: Bounds::default() }
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Computes from now on with another base of the rotary frequencies or for other lengths, as a checkpoint of a short
    /// context is trained on to a long one (Qwen2.5-Math's 10,000 becomes 1,000,000); `save` writes them too.
    ///
    /// # Errors
    /// The numbers make no sense.
    pub fn set_positions(
        &mut self,
        rope_theta: Option<f32>,
        max_position_embeddings: Option<usize>,
    ) -> Result<()> {
        let mut config = self.config.clone();
        config.rope_theta = rope_theta.unwrap_or(config.rope_theta);
        config.max_position_embeddings = max_position_embeddings.unwrap_or(config.max_position_embeddings);
        config.check().map_err(EngineError::Input)?;
        self.config = config;
        Ok(())
    }

    /// Sets the end-of-text ids that `save` writes into `config.json`.
    pub fn set_eos_token_id(&mut self, ids: Vec<u32>) {
        self.config.eos_token_id = ids;
    }

    /// Sets how many bytes layers may keep for the backward pass beside their inputs, 2 GiB unless set. Layers beyond that
    /// are computed again, which takes about a third more time for each. The gradients are the same to the bit.
    pub fn set_activation_bytes(&mut self, most: usize) {
        self.bounds.activation_bytes = most;
    }

    /// Sets how many numbers of logits are held at a time, in training at least those of 16 tokens and in sampling of one.
    /// The check of a GPU does: its vocabularies would all fit into one chunk.
    pub(crate) fn set_logits_at_once(&mut self, numbers: usize) {
        self.bounds.logits = Some(numbers);
    }

    /// How many there may be, where that is set.
    pub(crate) fn logits_at_once(&self) -> Option<usize> {
        self.bounds.logits
    }

    /// The model's own parameters: names as in a Hugging Face checkpoint, and values.
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.named(0..self.own)
    }

    /// What is trained, in the order of `Gradients`: the adapter's tensors, named as the `peft` package names them, or,
    /// without an adapter, all parameters.
    pub fn trained(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.named(self.first_trained()..self.values.len())
    }

    fn named(&self, slots: Range<usize>) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.names[slots.clone()].iter().map(String::as_str).zip(&self.values[slots])
    }

    /// The slot of the first parameter that is trained.
    pub(crate) fn first_trained(&self) -> usize {
        if self.adapter.is_some() { self.own } else { 0 }
    }

    pub(crate) fn adapter_of(&self, slots: &LinearSlots) -> Option<LowRank<'_>> {
        let (lora, [a, b]) = (self.adapter.as_ref()?, slots.adapter?);
        Some(LowRank { a: self.value(a), b: self.value(b), scale: lora.scale() })
    }

    /// Statistics of every response token under softmax(z/T); no gradients, nothing kept.
    ///
    /// # Errors
    /// A token id or length the model does not have, or a temperature that is not above 0.
    pub fn score(&self, batch: &Batch, temperature: f32) -> Result<TokenStats> {
        self.check(batch, temperature)?;
        self.score_hidden(&self.hidden(batch)?, temperature)
    }

    /// What a batch's response tokens are predicted from: statistics at any temperature follow by the head alone.
    ///
    /// # Errors
    /// As [`Model::score`].
    pub fn hidden(&self, batch: &Batch) -> Result<Hidden> {
        self.check(batch, 1.0)?;
        let rows = self.forward(batch, |_, _| {})?.gather(batch)?;
        Ok(Hidden { rows, targets: batch_targets(batch) })
    }

    /// [`Model::score`] of the batch that these are of.
    ///
    /// # Errors
    /// The tensor layer refused.
    pub fn score_hidden(&self, hidden: &Hidden, temperature: f32) -> Result<TokenStats> {
        let weight = self.value(self.slots.head);
        head::score(&hidden.rows, weight, &hidden.targets, temperature, self.bounds.logits)
    }

    /// Statistics of every response token, and the gradients of a loss known by its derivative:
    /// `grad_of_logprob` is given the statistics and returns dLoss/dlogprob of each response token.
    ///
    /// # Errors
    /// As `score`; or the closure returned a vector of another length.
    pub fn loss_backward(
        &self,
        batch: &Batch,
        temperature: f32,
        grad_of_logprob: &dyn Fn(&TokenStats) -> Vec<f32>,
    ) -> Result<(TokenStats, Gradients)> {
        let mut gradients = Gradients::zeros(self)?;
        let stats = self.add_loss_backward(batch, temperature, grad_of_logprob, &mut gradients)?;
        Ok((stats, gradients))
    }

    /// As [`Model::loss_backward`], adding to the gradients of what went before: the parts of a batch need memory for one
    /// set of gradients.
    ///
    /// # Errors
    /// As `loss_backward`; gradients of another model.
    pub fn add_loss_backward(
        &self,
        batch: &Batch,
        temperature: f32,
        grad_of_logprob: &dyn Fn(&TokenStats) -> Vec<f32>,
        gradients: &mut Gradients,
    ) -> Result<TokenStats> {
        self.check(batch, temperature)?;
        gradients.belong_to(self)?;
        let mut kept = Vec::with_capacity(self.config.num_hidden_layers);
        let mut room = self.bounds.activation_bytes;
        let forward = self.forward(batch, |x, activations| {
            let left = room.checked_sub(activations.bytes());
            room = left.unwrap_or(room);
            kept.push(if left.is_some() { Kept::All(activations) } else { Kept::Input(x) });
        })?;
        let head_weight = self.value(self.slots.head);
        let (stats, d_hidden) = head::loss_backward(
            &forward.gather(batch)?,
            head_weight,
            &batch_targets(batch),
            temperature,
            grad_of_logprob,
            gradients.value(self.slots.head),
            self.bounds.logits,
        )?;
        self.backward(batch, &forward, kept, &d_hidden, gradients)?;
        Ok(stats)
    }

    /// Logits of every position of one sequence, `tokens x vocabulary`: for comparisons, not for training.
    ///
    /// # Errors
    /// As `score`.
    pub fn logits(&self, tokens: &[u32]) -> Result<Vec<Vec<f32>>> {
        let mut batch = Batch::new();
        batch.push(tokens, &[])?;
        self.check(&batch, 1.0)?;
        let hidden = self.forward(&batch, |_, _| {})?.normed;
        let logits = ops::linear::forward(&hidden, self.value(self.slots.head), None)?;
        let rows = ops::read(&logits)?;
        Ok(rows.chunks_exact(self.config.vocab_size).map(<[f32]>::to_vec).collect())
    }

    /// Keys and values per layer, and the normed last states, of every token: what sampling starts from.
    pub(crate) fn prefill(&self, batch: &Batch) -> Result<(Vec<(Tensor, Tensor)>, Tensor)> {
        let mut cache = Vec::with_capacity(self.config.num_hidden_layers);
        let forward = self.forward(batch, |_, activations| cache.push(activations.into_keys_and_values()))?;
        Ok((cache, forward.normed))
    }

    fn check(&self, batch: &Batch, temperature: f32) -> Result<()> {
        let (vocabulary, positions) = (self.config.vocab_size, self.config.max_position_embeddings);
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(EngineError::Input(format!("temperature is {temperature}; it must be above 0")));
        }
        if let Some(id) = batch.tokens().iter().find(|&&id| id as usize >= vocabulary) {
            return Err(EngineError::Input(format!("token id {id} is not below vocab_size {vocabulary}")));
        }
        let longest = (0..batch.sequences()).map(|index| batch.sequence(index).len()).max().unwrap_or(0);
        if longest > positions {
            let what = format!("a sequence has {longest} tokens; max_position_embeddings is {positions}");
            return Err(EngineError::Input(what));
        }
        Ok(())
    }

    /// The same model on a GPU.
    pub(crate) fn on_gpu(self, gpu: &Gpu, stored: Stored) -> Result<Model> {
        let put = |value: Tensor| cuda::put(&value, gpu, stored);
        Ok(Model { values: self.values.into_iter().map(put).collect::<Result<_>>()?, ..self })
    }

    /// A copy on the CPU, as f32.
    pub(crate) fn on_cpu(&self) -> Result<Model> {
        let here = |value: &Tensor| Ok(Tensor::from_slice(&ops::read(value)?, value.shape(), &Device::Cpu)?);
        let values = self.values.iter().map(here).collect::<Result<_>>()?;
        let (names, slots, adapter) = (self.names.clone(), self.slots.clone(), self.adapter.clone());
        let (config, own, bounds) = (self.config.clone(), self.own, self.bounds);
        Ok(Model { config, names, values, own, slots, adapter, bounds })
    }

    /// A tensor of the CPU as the parameters are stored, where they lie.
    pub(crate) fn beside(&self, tensor: Tensor) -> Result<Tensor> {
        let like = self.value(self.slots.embedding);
        Ok(tensor.to_dtype(like.dtype())?.to_device(like.device())?)
    }

    /// Zeros of each trained parameter's shape, f32 however the parameters are stored, where they lie.
    pub(crate) fn zeros(&self) -> Result<Vec<Tensor>> {
        let zeros =
            |(_, value): (&str, &Tensor)| Ok(Tensor::zeros(value.shape(), DType::F32, value.device())?);
        self.trained().map(zeros).collect()
    }

    pub(crate) fn value(&self, slot: usize) -> &Tensor {
        &self.values[slot]
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The rotary angles of positions `0..positions`.
    pub(crate) fn angles(&self, positions: usize) -> rope::Angles {
        rope::Angles::new(self.config.head_dim, self.config.rope_theta, positions)
    }

    fn forward(&self, batch: &Batch, mut keep: impl FnMut(Tensor, Activations)) -> Result<Forward> {
        let sequences = Sequences::new(batch.starts());
        let angles = self.angles(sequences.longest());
        let mut x = embedding::forward(self.value(self.slots.embedding), batch.tokens())?;
        for layer in &self.slots.layers {
            let (y, kept) = layer::forward(self, layer, &x, &sequences, &angles)?;
            keep(x, kept);
            x = y;
        }
        let (normed, inverse_rms) =
            rms_norm::forward(&x, self.value(self.slots.norm), self.config.rms_norm_eps)?;
        Ok(Forward { sequences, angles, last: x, normed, inverse_rms })
    }

    fn backward(
        &self,
        batch: &Batch,
        forward: &Forward,
        kept: Vec<Kept>,
        d_hidden: &Tensor,
        gradients: &Gradients,
    ) -> Result<()> {
        let rows: Vec<usize> = batch.targets().iter().map(|at| at - 1).collect();
        let d_normed = ops::scatter_rows(d_hidden, &rows, batch.tokens().len())?;
        let mut dx = rms_norm::backward(
            None,
            &d_normed,
            &forward.last,
            &forward.inverse_rms,
            self.value(self.slots.norm),
            gradients.value(self.slots.norm),
        )?;
        for (slots, kept) in self.slots.layers.iter().zip(kept).rev() {
            let activations = match kept {
                Kept::All(activations) => activations,
                Kept::Input(x) => layer::forward(self, slots, &x, &forward.sequences, &forward.angles)?.1,
            };
            dx = layer::backward(
                self,
                slots,
                activations,
                &dx,
                &forward.sequences,
                &forward.angles,
                gradients,
            )?;
        }
        match gradients.value(self.slots.embedding) {
            Some(d_embedding) => embedding::backward(&dx, batch.tokens(), d_embedding),
            None => Ok(()),
        }
    }
}

/// What the layers leave behind.
struct Forward {
    sequences: Sequences,
    angles: rope::Angles,
    last: Tensor,
    normed: Tensor,
    inverse_rms: Tensor,
}

impl Forward {
    /// The normed state of the token before each response token: the one that predicts it.
    fn gather(&self, batch: &Batch) -> Result<Tensor> {
        let rows: Vec<usize> = batch.targets().iter().map(|at| at - 1).collect();
        ops::gather_rows(&self.normed, &rows)
    }
}

/// The last hidden states of a batch's response tokens, response tokens x hidden size, with the tokens themselves.
#[derive(Debug, Clone)]
pub struct Hidden {
    rows: Tensor,
    targets: Vec<u32>,
}

fn batch_targets(batch: &Batch) -> Vec<u32> {
    batch.targets().iter().map(|&at| batch.tokens()[at]).collect()
}

#[cfg(test)]
mod tests;
