//! Names, shapes, order and fresh values of the parameters, from the configuration alone.

use candle_core::{Device, Tensor};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::Config;
use super::lora::{Lora, Target};
use crate::error::Result;

/// Where each parameter lies in the model's list.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    pub(crate) embedding: usize,
    pub(crate) layers: Vec<LayerSlots>,
    pub(crate) norm: usize,
    /// The embedding's slot when the head is tied to it.
    pub(crate) head: usize,
}

/// The parameters of one layer.
#[derive(Debug, Clone)]
pub(crate) struct LayerSlots {
    pub(crate) input_norm: usize,
    pub(crate) query: LinearSlots,
    pub(crate) key: LinearSlots,
    pub(crate) value: LinearSlots,
    pub(crate) output: LinearSlots,
    pub(crate) mlp_norm: usize,
    pub(crate) gate: LinearSlots,
    pub(crate) up: LinearSlots,
    pub(crate) down: LinearSlots,
}

/// A weight and, in Qwen2's q, k and v, a bias.
#[derive(Debug, Clone)]
pub(crate) struct LinearSlots {
    pub(crate) weight: usize,
    pub(crate) bias: Option<usize>,
    /// A and B of its adapter, where it has one.
    pub(crate) adapter: Option<[usize; 2]>,
}

impl Slots {
    pub(crate) fn new(config: &Config) -> Slots {
        let mut next = 0;
        let mut take = || {
            next += 1;
            next - 1
        };
        let embedding = take();
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for _ in 0..config.num_hidden_layers {
            let input_norm = take();
            let mut linear = |bias: bool| LinearSlots {
                weight: take(),
                bias: if bias { Some(take()) } else { None },
                adapter: None,
            };
            let bias = config.attention_bias;
            let (query, key, value, output) = (linear(bias), linear(bias), linear(bias), linear(false));
            let mlp_norm = take();
            let mut linear = || LinearSlots { weight: take(), bias: None, adapter: None };
            let (gate, up, down) = (linear(), linear(), linear());
            layers.push(LayerSlots { input_norm, query, key, value, output, mlp_norm, gate, up, down });
        }
        let norm = take();
        let head = if config.tie_word_embeddings { embedding } else { take() };
        Slots { embedding, layers, norm, head }
    }

    /// Gives the linears of an adapter their slots, from `first` on, in the order of its shapes.
    pub(crate) fn adapt(&mut self, lora: &Lora, first: usize) {
        let mut next = first;
        for layer in &mut self.layers {
            for &target in &lora.target_modules {
                layer.linear_mut(target).adapter = Some([next, next + 1]);
                next += 2;
            }
        }
    }

    /// All linears of all layers.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &LinearSlots> {
        self.layers.iter().flat_map(|layer| {
            let LayerSlots { query, key, value, output, gate, up, down, .. } = layer;
            [query, key, value, output, gate, up, down]
        })
    }
}

impl LayerSlots {
    fn linear_mut(&mut self, target: Target) -> &mut LinearSlots {
        match target {
            Target::QProj => &mut self.query,
            Target::KProj => &mut self.key,
            Target::VProj => &mut self.value,
            Target::OProj => &mut self.output,
            Target::GateProj => &mut self.gate,
            Target::UpProj => &mut self.up,
            Target::DownProj => &mut self.down,
        }
    }
}

/// Name and shape of every parameter, in the order of `Slots`.
pub(crate) fn shapes(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (d, inner) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.query_size(), config.key_value_size());
    let mut list = vec![("model.embed_tokens.weight".to_owned(), vec![config.vocab_size, d])];
    for layer in 0..config.num_hidden_layers {
        let mut add =
            |name: &str, shape: Vec<usize>| list.push((format!("model.layers.{layer}.{name}"), shape));
        add("input_layernorm.weight", vec![d]);
        for (name, width) in [("q", q), ("k", kv), ("v", kv)] {
            add(&format!("self_attn.{name}_proj.weight"), vec![width, d]);
            if config.attention_bias {
                add(&format!("self_attn.{name}_proj.bias"), vec![width]);
            }
        }
        add("self_attn.o_proj.weight", vec![d, q]);
        add("post_attention_layernorm.weight", vec![d]);
        add("mlp.gate_proj.weight", vec![inner, d]);
        add("mlp.up_proj.weight", vec![inner, d]);
        add("mlp.down_proj.weight", vec![d, inner]);
    }
    list.push(("model.norm.weight".to_owned(), vec![d]));
    if !config.tie_word_embeddings {
        list.push(("lm_head.weight".to_owned(), vec![config.vocab_size, d]));
    }
    list
}

/// Fresh values: each parameter draws from a stream of its own, so they do not depend on the order.
pub(crate) fn random(config: &Config, seed: u64) -> Result<Vec<Tensor>> {
    let fresh = |(slot, (name, shape)): (usize, (String, Vec<usize>))| {
        let count: usize = shape.iter().product();
        let values = if name.ends_with("norm.weight") {
            vec![1.0; count]
        } else if name.ends_with("bias") {
            vec![0.0; count]
        } else {
            let mut stream = ChaCha8Rng::seed_from_u64(seed);
            stream.set_stream(slot as u64);
            normal(&mut stream, count, config.initializer_range)
        };
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    };
    shapes(config).into_par_iter().enumerate().map(fresh).collect()
}

/// Normal numbers by Box and Muller.
fn normal(stream: &mut ChaCha8Rng, count: usize, deviation: f32) -> Vec<f32> {
    let mut values = Vec::with_capacity(count + 1);
    let mut uniform = || ((stream.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    while values.len() < count {
        let (radius, angle) = ((-2.0 * uniform().ln()).sqrt(), std::f64::consts::TAU * uniform());
        values.push((radius * angle.cos()) as f32 * deviation);
        values.push((radius * angle.sin()) as f32 * deviation);
    }
    values.truncate(count);
    values
}
