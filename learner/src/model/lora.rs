//! The form of a low-rank adapter (LoRA): which linears have one, how wide it is, what it is called.
//!
//! A linear with an adapter computes `W x + (alpha / rank) B A x`, A of `rank x inputs`, B of `outputs x rank`. W is never
//! touched: gradients and the optimizer's state are of A and B alone. A fresh B is zero, so that a fresh adapter changes
//! no bit of what the model computes. Names and initialisation are those of the `peft` package.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Config, parameters};
use crate::error::Result;

/// A linear of each layer, by its name in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Queries.
    QProj,
    /// Keys.
    KProj,
    /// Values.
    VProj,
    /// What attention gives back.
    OProj,
    /// The MLP's gate.
    GateProj,
    /// The MLP's input.
    UpProj,
    /// The MLP's output.
    DownProj,
}

impl Target {
    /// All linears of a layer.
    pub const ALL: [Target; 7] = [
        Target::QProj,
        Target::KProj,
        Target::VProj,
        Target::OProj,
        Target::GateProj,
        Target::UpProj,
        Target::DownProj,
    ];

    /// As in a checkpoint.
    pub fn name(self) -> &'static str {
        match self {
            Target::QProj => "q_proj",
            Target::KProj => "k_proj",
            Target::VProj => "v_proj",
            Target::OProj => "o_proj",
            Target::GateProj => "gate_proj",
            Target::UpProj => "up_proj",
            Target::DownProj => "down_proj",
        }
    }

    /// The linear that a parameter `model.layers.N.*.NAME.weight` is the weight of.
    fn of(parameter: &str) -> Option<Target> {
        let linear = parameter.strip_suffix(".weight")?.rsplit('.').next()?;
        Target::ALL.into_iter().find(|target| target.name() == linear)
    }
}

/// The form of a low-rank adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    /// Width between A and B.
    pub rank: usize,
    /// What B A x is multiplied by, times the rank.
    pub alpha: f64,
    /// The linears that have one, in every layer.
    pub target_modules: BTreeSet<Target>,
}

impl Lora {
    /// What B A x is multiplied by.
    pub fn scale(&self) -> f32 {
        (self.alpha / self.rank as f64) as f32
    }

    /// Number of trained numbers on a model of this shape.
    pub fn parameter_count(&self, config: &Config) -> usize {
        self.shapes(config).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Name and shape of A and B of every linear that has them: layer by layer, in the order of `Target`.
    pub(crate) fn shapes(&self, config: &Config) -> Vec<(String, Vec<usize>)> {
        let mut list = Vec::new();
        for (name, shape) in parameters::shapes(config) {
            let adapted = Target::of(&name).is_some_and(|target| self.target_modules.contains(&target));
            if let (true, [outputs, inputs], Some(linear)) =
                (adapted, &shape[..], name.strip_suffix(".weight"))
            {
                list.push((format!("{PREFIX}{linear}.lora_A.weight"), vec![self.rank, *inputs]));
                list.push((format!("{PREFIX}{linear}.lora_B.weight"), vec![*outputs, self.rank]));
            }
        }
        list
    }

    /// A fresh adapter: A uniform within 1 / sqrt(inputs), which is Kaiming's bound with a = sqrt(5), and B zero. Each
    /// tensor draws from a stream of its own.
    pub(crate) fn random(&self, config: &Config, seed: u64) -> Result<Vec<Tensor>> {
        let fresh = |(index, (name, shape)): (usize, (String, Vec<usize>))| {
            let values = match name.ends_with("lora_A.weight") {
                true => uniform(seed, index as u64, shape.iter().product(), (shape[1] as f64).sqrt().recip()),
                false => vec![0.0; shape.iter().product()],
            };
            Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
        };
        self.shapes(config).into_iter().enumerate().map(fresh).collect()
    }
}

/// What stands before the model's own names in an adapter's.
const PREFIX: &str = "base_model.model.";

/// Numbers from -bound to bound.
fn uniform(seed: u64, stream: u64, count: usize, bound: f64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    let mut unit = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    (0..count).map(|_| ((2.0 * unit() - 1.0) * bound) as f32).collect()
}
