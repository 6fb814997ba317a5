//! AdamW: the two moments in f32, beside the parameters or in the host's memory, or in blocks of 8 bits; decay apart from
//! the gradient.

mod blocks;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::blocks::{BLOCK, Blocks};
use crate::checkpoint::{self, Stored};
use crate::cuda::Gpu;
use crate::error::{EngineError, Result};
use crate::kernels;
use crate::model::{Gradients, Model};
use crate::ops;

/// Scales the gradients down to a global norm of at most `max_norm`; returns the norm they had. Where that is not finite
/// they stay as they are, and no update may be made by them: each weight they reach would be lost.
///
/// # Errors
/// The tensor layer refused.
pub fn clip_global_norm(gradients: &mut Gradients, max_norm: f64) -> Result<f64> {
    let norm = gradients.global_norm()?;
    if norm.is_finite() && norm > max_norm {
        gradients.scale((max_norm / norm) as f32)?;
    }
    Ok(norm)
}

/// How the moments are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moments {
    /// 8 bytes a parameter.
    #[default]
    #[serde(rename = "f32")]
    F32,
    /// Blocks of 8 bits: 2.03 bytes a parameter; of tensors of less than 4096 numbers, which are norms and biases, in f32.
    #[serde(rename = "8bit")]
    Blocks,
    /// As `F32`, but in the memory of the host also where the parameters lie on a GPU, with the f32 copies of bf16 ones: the
    /// host updates, a tensor at a time. The same numbers as `F32`; on the CPU the same thing.
    #[serde(rename = "host")]
    Host,
}

/// The optimiser: its rule and its state.
#[derive(Debug)]
pub struct AdamW {
    /// Decay rates of the two moments.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Share of each parameter taken off per step, times the learning rate; of all parameters alike.
    pub weight_decay: f64,
    /// How the moments are kept, from the first update on.
    pub moments: Moments,
    step: u64,
    /// Of each parameter; of none before the first update, so that who only samples has no memory for them.
    state: Vec<State>,
    parameters: usize,
}

/// The moments of one parameter.
#[derive(Debug)]
enum State {
    /// `master`: the f32 parameter that is updated where the model has its rounding to bf16, so that no small step is lost.
    F32 {
        first: Tensor,
        second: Tensor,
        master: Option<Tensor>,
    },
    Blocks {
        first: Blocks,
        second: Blocks,
    },
}

/// Tensors of fewer numbers keep their moments in f32.
const SMALL: usize = 4096;

impl Moments {
    fn are_blocks(self, value: &Tensor) -> bool {
        self == Moments::Blocks && value.elem_count() >= SMALL
    }

    /// Bytes of the state of a parameter of so many numbers, which is stored as f32 or as bf16.
    pub(crate) fn bytes(self, numbers: usize, stored: DType) -> usize {
        if self == Moments::Blocks && numbers >= SMALL {
            return 2 * (numbers + size_of::<f32>() * numbers.div_ceil(BLOCK));
        }
        let copies = if stored == DType::BF16 { 3 } else { 2 };
        copies * size_of::<f32>() * numbers
    }

    fn zeros(self, value: &Tensor) -> Result<State> {
        if self.are_blocks(value) {
            here(value)?;
            let zeros = Blocks::zeros(value.elem_count());
            return Ok(State::Blocks { first: zeros.clone(), second: zeros });
        }
        let device = self.device(value);
        let zeros = || Tensor::zeros(value.shape(), DType::F32, device);
        Ok(State::F32 { first: zeros()?, second: zeros()?, master: master(value, device)? })
    }

    /// Where the state of a parameter is.
    fn device(self, value: &Tensor) -> &Device {
        if self.in_host_memory() { &Device::Cpu } else { value.device() }
    }

    /// Why moments cannot be kept so where a GPU computes, if they cannot: what to do instead, in words.
    pub(crate) fn mistake(self, on_gpu: bool) -> Option<&'static str> {
        (on_gpu && self == Moments::Blocks).then_some(NOT_ON_GPU)
    }

    /// Whether the state of a GPU's parameters is in the memory of its host.
    pub(crate) fn in_host_memory(self) -> bool {
        self == Moments::Host
    }
}

impl AdamW {
    /// Betas 0.9 and 0.999, eps 1e-8, no decay, moments zero and in f32.
    ///
    /// # Errors
    /// None; what there is to allocate is allocated by the first update.
    pub fn new(model: &Model) -> Result<AdamW> {
        Ok(AdamW {
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            moments: Moments::F32,
            step: 0,
            state: Vec::new(),
            parameters: model.trained().len(),
        })
    }

    /// Updates done so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// One update of everything that is trained, in place.
    ///
    /// # Errors
    /// The model is not the one this optimiser was made for.
    pub fn update(&mut self, model: &mut Model, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        if model.trained().len() != self.parameters || gradients.tensors().len() != self.parameters {
            return Err(EngineError::Input("the optimiser's state belongs to another model".to_owned()));
        }
        if self.state.is_empty() {
            self.state =
                model.trained().map(|(_, value)| self.moments.zeros(value)).collect::<Result<_>>()?;
        }
        self.step += 1;
        let (beta1, beta2) = self.betas;
        let exponent = i32::try_from(self.step).unwrap_or(i32::MAX);
        let (correction1, correction2) = (1.0 - beta1.powi(exponent), 1.0 - beta2.powi(exponent));
        let rule = Rule {
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            rest1: (1.0 - beta1) as f32,
            rest2: (1.0 - beta2) as f32,
            keep: (1.0 - learning_rate * self.weight_decay) as f32,
            rate: (learning_rate / correction1) as f32,
            root: (1.0 / correction2.sqrt()) as f32,
            eps: self.eps as f32,
        };
        let there = kernels::AdamW {
            betas: [beta1, beta2],
            eps: self.eps,
            weight_decay: self.weight_decay,
            learning_rate,
            step: exponent,
            clip: 1.0,
        };
        let numbers = model.trained().zip(gradients.tensors()).zip(&mut self.state);
        for (slot, (((_, value), gradient), state)) in numbers.enumerate() {
            match state {
                State::F32 { first, second, master } => match (Gpu::of(value), Gpu::of(first)) {
                    (Some(gpu), Some(_)) => {
                        gpu.adamw(value, master.as_ref(), [gradient, first, second], &there)?;
                    }
                    (Some(gpu), None) => {
                        let own = master.clone().map_or_else(|| brought(value), Ok)?;
                        rule.apply(&own, gradient, first, second)?;
                        gpu.copy(&own.to_dtype(value.dtype())?.to_device(value.device())?, value)?;
                    }
                    (None, _) => rule.apply(value, gradient, first, second)?,
                },
                State::Blocks { first, second } => {
                    rule.apply_blocks(value, gradient, [first, second], |block| {
                        blocks::key(self.step, slot, block)
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Writes the state to one file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, model: &Model, path: &Path) -> Result<()> {
        let mut tensors: Vec<(String, Stored<'_>)> = Vec::new();
        for ((name, _), state) in model.trained().zip(&self.state) {
            match state {
                State::F32 { first, second, master } => {
                    tensors.push((format!("m.{name}"), Stored::f32(first)));
                    tensors.push((format!("v.{name}"), Stored::f32(second)));
                    tensors.extend(master.as_ref().map(|master| (format!("w.{name}"), Stored::f32(master))));
                }
                State::Blocks { first, second } => {
                    for (moment, blocks) in [("m", first), ("v", second)] {
                        tensors.push((format!("{moment}.{name}.codes"), Stored::Bytes(&blocks.codes)));
                        tensors.push((format!("{moment}.{name}.scales"), Stored::Floats(&blocks.scales)));
                    }
                }
            }
        }
        let named = tensors.iter().map(|(name, stored)| (name.as_str(), *stored));
        checkpoint::write_tensors(path, named, &[("step", self.step.to_string())])
    }

    /// Reads a state written by `save`, bit for bit; betas, eps and decay stay as they are.
    ///
    /// # Errors
    /// The file is missing, is no such state, or belongs to a model of another shape or to moments kept another way.
    pub fn load(&mut self, model: &Model, path: &Path) -> Result<()> {
        let device = model.trained().next().map_or(&Device::Cpu, |(_, value)| self.moments.device(value));
        let (tensors, metadata) = checkpoint::read_tensors_to(path, device)?;
        let step = metadata.get("step").and_then(|step| step.parse().ok());
        let step = step.ok_or_else(|| {
            EngineError::checkpoint(path, "expected the number of steps in the file's metadata")
        })?;
        let mut file = StateFile { path, tensors };
        let state = match step {
            0 => Vec::new(),
            _ => model
                .trained()
                .map(|(name, value)| file.take(self.moments, name, value))
                .collect::<Result<_>>()?,
        };
        (self.step, self.state) = (step, state);
        Ok(())
    }
}

/// What was read of a state's file and is not yet used.
struct StateFile<'a> {
    path: &'a Path,
    tensors: HashMap<String, Tensor>,
}

impl StateFile<'_> {
    fn take(&mut self, moments: Moments, name: &str, value: &Tensor) -> Result<State> {
        if moments.are_blocks(value) {
            here(value)?;
            return Ok(State::Blocks {
                first: self.blocks("m", name, value)?,
                second: self.blocks("v", name, value)?,
            });
        }
        let mut tensor = |moment: &str| -> Result<Tensor> {
            let tensor = self.tensor(&format!("{moment}.{name}"), DType::F32, value.dims())?;
            Ok(tensor.to_device(moments.device(value))?)
        };
        let (first, second) = (tensor("m")?, tensor("v")?);
        let master = if value.dtype() == DType::BF16 { Some(tensor("w")?) } else { None };
        Ok(State::F32 { first, second, master })
    }

    fn blocks(&mut self, moment: &str, name: &str, value: &Tensor) -> Result<Blocks> {
        let count = value.elem_count();
        let codes = self.tensor(&format!("{moment}.{name}.codes"), DType::U8, &[count])?;
        let scales = self.tensor(&format!("{moment}.{name}.scales"), DType::F32, &[count.div_ceil(BLOCK)])?;
        Ok(Blocks { codes: codes.to_vec1()?, scales: scales.to_vec1()? })
    }

    fn tensor(&mut self, name: &str, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let found = self.tensors.remove(name);
        found.filter(|found| found.dims() == shape && found.dtype() == dtype).ok_or_else(|| {
            EngineError::checkpoint(self.path, format!("expected tensor {name} of shape {shape:?}"))
        })
    }
}

/// What is updated in place of a parameter that is stored as bf16.
fn master(value: &Tensor, device: &Device) -> Result<Option<Tensor>> {
    match value.dtype() {
        DType::BF16 => Ok(Some(brought(value)?.to_device(device)?)),
        _ => Ok(None),
    }
}

/// A copy on the CPU, as f32.
fn brought(value: &Tensor) -> Result<Tensor> {
    Ok(Tensor::from_slice(&ops::read(value)?, value.shape(), &Device::Cpu)?)
}

const NOT_ON_GPU: &str =
    "moments of 8 bits are not computed on a GPU; set adamw.moments = \"host\" or \"f32\", or --device cpu";

/// Refuses what only the CPU computes. Runs and plans did so before they began.
fn here(value: &Tensor) -> Result<()> {
    Gpu::of(value).map_or(Ok(()), |_| Err(EngineError::Input(NOT_ON_GPU.to_owned())))
}

/// One step's numbers, with the corrections for the moments' start at zero folded in.
struct Rule {
    beta1: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    keep: f32,
    rate: f32,
    root: f32,
    eps: f32,
}

/// Numbers per piece of work.
const PIECE: usize = 16 * 1024;

impl Rule {
    fn apply(&self, value: &Tensor, gradient: &Tensor, first: &Tensor, second: &Tensor) -> Result<()> {
        let gradient = ops::read(gradient)?;
        let mut inner = Ok(());
        ops::write(value, |value| {
            inner = ops::write(first, |first| {
                let result = ops::write(second, |second| {
                    let pieces = value.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE));
                    let state = first.par_chunks_mut(PIECE).zip(second.par_chunks_mut(PIECE));
                    pieces.zip(state).for_each(|((value, gradient), (first, second))| {
                        ops::vectorised(|| self.apply_piece(value, gradient, first, second));
                    });
                });
                debug_assert!(result.is_ok(), "the second moment is a tensor as the first");
            });
        })?;
        inner
    }

    /// As `apply`, each block of the moments decoded, changed and encoded again; `key` decides how a block is rounded.
    fn apply_blocks(
        &self,
        value: &Tensor,
        gradient: &Tensor,
        [first, second]: [&mut Blocks; 2],
        key: impl Fn(usize) -> u32 + Sync,
    ) -> Result<()> {
        let gradient = ops::read(gradient)?;
        ops::write(value, |value| {
            let pieces = value.par_chunks_mut(BLOCK).zip(gradient.par_chunks(BLOCK));
            let firsts = first.codes.par_chunks_mut(BLOCK).zip(&mut first.scales);
            let seconds = second.codes.par_chunks_mut(BLOCK).zip(&mut second.scales);
            let all = pieces.zip(firsts.zip(seconds)).enumerate().with_min_len(PIECE / BLOCK);
            all.for_each(|(block, ((value, gradient), (first, second)))| {
                ops::vectorised(|| self.apply_block(value, gradient, first, second, key(block)));
            });
        })
    }

    #[inline(always)]
    fn apply_block(
        &self,
        value: &mut [f32],
        gradient: &[f32],
        first: (&mut [u8], &mut f32),
        second: (&mut [u8], &mut f32),
        key: u32,
    ) {
        let (mut m, mut v) = ([0.0; BLOCK], [0.0; BLOCK]);
        let (m, v) = (&mut m[..value.len()], &mut v[..value.len()]);
        blocks::decode_signed(first.0, *first.1, m);
        blocks::decode_square(second.0, *second.1, v);
        self.apply_piece(value, gradient, m, v);
        *first.1 = blocks::encode_signed(m, first.0);
        *second.1 = blocks::encode_square(v, second.0, key);
    }

    #[inline(always)]
    fn apply_piece(&self, value: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        for (((value, g), m), v) in value.iter_mut().zip(gradient).zip(first).zip(second) {
            *m = self.beta1 * *m + self.rest1 * g;
            *v = self.beta2 * *v + self.rest2 * g * g;
            *value = self.keep * *value - self.rate * *m / (v.sqrt() * self.root + self.eps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Config;

    fn values(model: &Model) -> Vec<Vec<f32>> {
        model.parameters().map(|(_, value)| ops::read(value).unwrap().to_vec()).collect()
    }

    /// Gradients given, not computed: AdamW's first step is the gradient's sign, so noise near 0 would show.
    fn gradients(model: &Model, step: usize) -> Gradients {
        let one = |(slot, (_, value)): (usize, (&str, &Tensor))| {
            let number = |i: usize| ((i * 13 + slot * 7 + step * 29) % 23) as f32 / 11.0 - 0.97;
            let values: Vec<f32> = (0..value.elem_count()).map(number).collect();
            Tensor::from_vec(values, value.shape(), &Device::Cpu).unwrap()
        };
        Gradients::from_tensors(model, model.parameters().enumerate().map(one).collect()).unwrap()
    }

    #[test]
    fn equals_the_rule_written_out() {
        let mut model = Model::random(&Config::tiny(40, 16, 1, 2, 1), 3).unwrap();
        let mut optimiser = AdamW::new(&model).unwrap();
        (optimiser.weight_decay, optimiser.eps) = (0.1, 1e-6);
        let mut expected: Vec<Vec<f64>> =
            values(&model).iter().map(|v| v.iter().map(|&v| f64::from(v)).collect()).collect();
        let mut first: Vec<Vec<f64>> = expected.iter().map(|v| vec![0.0; v.len()]).collect();
        let mut second = first.clone();
        for step in 1..=5 {
            let (gradients, rate) = (gradients(&model, step), 1e-2 / step as f64);
            optimiser.update(&mut model, &gradients, rate).unwrap();
            for (slot, gradient) in gradients.tensors().iter().enumerate() {
                for (i, &g) in ops::read(gradient).unwrap().iter().enumerate() {
                    let g = f64::from(g);
                    let (m, v) = (&mut first[slot][i], &mut second[slot][i]);
                    *m = 0.9 * *m + 0.1 * g;
                    *v = 0.999 * *v + 0.001 * g * g;
                    let (m, v) =
                        (*m / (1.0 - 0.9f64.powi(step as i32)), *v / (1.0 - 0.999f64.powi(step as i32)));
                    let value = &mut expected[slot][i];
                    *value -= rate * 0.1 * *value + rate * m / (v.sqrt() + 1e-6);
                }
            }
        }
        for (ours, expected) in values(&model).iter().flatten().zip(expected.iter().flatten()) {
            assert!((f64::from(*ours) - expected).abs() < 2e-6, "{ours} {expected}");
        }
        assert_eq!(optimiser.step(), 5);
    }

    /// NaN is above no bound, and infinity times the factor that it asks for is NaN.
    #[test]
    fn gradients_that_are_not_finite_are_told_and_left_as_they_are() {
        let model = Model::random(&Config::tiny(40, 16, 1, 2, 1), 3).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut given = gradients(&model, 1);
            ops::write(&given.tensors()[0], |values| values[7] = bad).unwrap();
            let before: Vec<u32> = bits(&given);
            assert!(!clip_global_norm(&mut given, 1.0).unwrap().is_finite(), "{bad}");
            assert_eq!(bits(&given), before, "{bad}");
        }
    }

    fn bits(gradients: &Gradients) -> Vec<u32> {
        let bits = |value: &Tensor| ops::read(value).unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        gradients.tensors().iter().flat_map(bits).collect()
    }

    #[test]
    fn a_resumed_run_is_the_uninterrupted_one_bit_for_bit() {
        resumes(Moments::F32, Config::tiny(40, 16, 1, 2, 1));
        resumes(Moments::Host, Config::tiny(40, 16, 1, 2, 1));
        resumes(Moments::Blocks, Config::tiny(300, 32, 1, 2, 1));
    }

    fn resumes(moments: Moments, config: Config) {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("optimizer.safetensors");
        let mut whole = Model::random(&config, 4).unwrap();
        let mut optimiser = AdamW::new(&whole).unwrap();
        optimiser.moments = moments;
        for step in 0..6 {
            if step == 3 {
                whole.save(directory.path(), checkpoint::Precision::F32).unwrap();
                optimiser.save(&whole, &state).unwrap();
            }
            let given = gradients(&whole, step);
            optimiser.update(&mut whole, &given, 1e-3).unwrap();
        }
        let mut resumed = Model::load(directory.path()).unwrap();
        let mut optimiser = AdamW::new(&resumed).unwrap();
        optimiser.moments = moments;
        optimiser.load(&resumed, &state).unwrap();
        assert_eq!(optimiser.step(), 3);
        for step in 3..6 {
            let given = gradients(&resumed, step);
            optimiser.update(&mut resumed, &given, 1e-3).unwrap();
        }
        assert_eq!(values(&resumed), values(&whole));

        let other = Model::random(&Config::tiny(config.vocab_size + 1, 16, 1, 2, 1), 4).unwrap();
        let refused = optimiser.load(&other, &state).unwrap_err().to_string();
        assert!(refused.contains("expected tensor m.model.embed_tokens.weight"), "{refused}");
        let refused = optimiser.load(&resumed, &directory.path().join("model.safetensors")).unwrap_err();
        assert!(refused.to_string().contains("number of steps"), "{refused}");
    }

    /// On the CPU the two are one; on a GPU the host's rule is this one.
    #[test]
    fn moments_in_host_memory_are_those_in_f32() {
        let config = Config::tiny(300, 32, 1, 2, 1);
        let [f32, host] = [Moments::F32, Moments::Host].map(|moments| {
            let mut model = Model::random(&config, 5).unwrap();
            let mut optimiser = AdamW::new(&model).unwrap();
            (optimiser.moments, optimiser.weight_decay) = (moments, 0.1);
            for step in 0..5 {
                let given = gradients(&model, step);
                optimiser.update(&mut model, &given, 1e-3).unwrap();
            }
            values(&model)
        });
        assert_eq!(f32, host);
    }

    /// A second moment that is rounded to the nearest of 255 levels stays where it is, because a step moves it by less
    /// than half a level: gradients that had shrunk tenfold got steps ten times too small for ever.
    #[test]
    fn moments_of_8_bits_follow_those_of_32() {
        let mut runs = [Moments::F32, Moments::Blocks].map(|moments| {
            let model = Model::random(&Config::tiny(300, 32, 1, 2, 1), 5).unwrap();
            let mut optimiser = AdamW::new(&model).unwrap();
            (optimiser.moments, optimiser.betas) = (moments, (0.9, 0.99));
            (model, optimiser)
        });
        let start = values(&runs[0].0);
        for step in 0..1200 {
            let mut given = gradients(&runs[0].0, step);
            given.scale(if step < 200 { 1.0 } else { 0.1 }).unwrap();
            runs.iter_mut().for_each(|(model, optimiser)| optimiser.update(model, &given, 1e-4).unwrap());
        }
        let [whole, blocks] = runs.map(|(model, _)| values(&model));
        let square = |a: &[Vec<f32>], b: &[Vec<f32>]| -> f64 {
            let pairs = a.iter().flatten().zip(b.iter().flatten());
            pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
        };
        let (apart, moved) = (square(&whole, &blocks).sqrt(), square(&whole, &start).sqrt());
        assert!(apart < 0.05 * moved, "{apart} apart after moving {moved}");
    }

    #[test]
    fn a_state_before_the_first_step_is_nothing() {
        let model = Model::random(&Config::tiny(40, 16, 1, 2, 1), 4).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("optimizer.safetensors");
        AdamW::new(&model).unwrap().save(&model, &path).unwrap();
        let mut optimiser = AdamW::new(&model).unwrap();
        optimiser.load(&model, &path).unwrap();
        assert_eq!((optimiser.step(), optimiser.state.len()), (0, 0));
        assert!(path.metadata().unwrap().len() < 200);
    }
}
