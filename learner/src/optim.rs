//! AdamW: first and second moments in f32, decay apart from the gradient.

use std::path::Path;

use candle_core::Tensor;
use rayon::prelude::*;

use crate::checkpoint;
use crate::error::{EngineError, Result};
use crate::model::{Gradients, Model};
use crate::ops;

/// Scales the gradients down to a global norm of at most `max_norm`; returns the norm they had.
///
/// # Errors
/// The tensor layer refused.
pub fn clip_global_norm(gradients: &mut Gradients, max_norm: f64) -> Result<f64> {
    let norm = gradients.global_norm()?;
    if norm > max_norm {
        gradients.scale((max_norm / norm) as f32)?;
    }
    Ok(norm)
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
    step: u64,
    first: Vec<Tensor>,
    second: Vec<Tensor>,
}

impl AdamW {
    /// Betas 0.9 and 0.999, eps 1e-8, no decay, moments zero.
    ///
    /// # Errors
    /// The tensor layer refused.
    pub fn new(model: &Model) -> Result<AdamW> {
        let zeros =
            || model.parameters().map(|(_, value)| value.zeros_like()).collect::<candle_core::Result<_>>();
        Ok(AdamW {
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            step: 0,
            first: zeros()?,
            second: zeros()?,
        })
    }

    /// Updates done so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// One update of every parameter, in place.
    ///
    /// # Errors
    /// The model is not the one this optimiser was made for.
    pub fn update(&mut self, model: &mut Model, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        if model.parameters().len() != self.first.len() || gradients.tensors().len() != self.first.len() {
            return Err(EngineError::Input("the optimiser's state belongs to another model".to_owned()));
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
        let state = self.first.iter().zip(&self.second);
        for (((_, value), gradient), (first, second)) in
            model.parameters().zip(gradients.tensors()).zip(state)
        {
            rule.apply(value, gradient, first, second)?;
        }
        Ok(())
    }

    /// Writes the state to one file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, model: &Model, path: &Path) -> Result<()> {
        let named = |prefix: &'static str| move |(name, _): (&str, &Tensor)| format!("{prefix}.{name}");
        let firsts = model.parameters().map(named("m")).zip(&self.first);
        let seconds = model.parameters().map(named("v")).zip(&self.second);
        let tensors: Vec<(String, &Tensor)> = firsts.chain(seconds).collect();
        let named = tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor));
        checkpoint::write_tensors(path, named, checkpoint::Precision::F32, &[("step", self.step.to_string())])
    }

    /// Reads a state written by `save`, bit for bit; betas, eps and decay stay as they are.
    ///
    /// # Errors
    /// The file is missing, is no such state, or belongs to a model of another shape.
    pub fn load(&mut self, model: &Model, path: &Path) -> Result<()> {
        let (mut tensors, metadata) = checkpoint::read_tensors(path)?;
        let refuse = |what: String| EngineError::checkpoint(path, what);
        let step = metadata.get("step").and_then(|step| step.parse().ok());
        let step =
            step.ok_or_else(|| refuse("expected the number of steps in the file's metadata".to_owned()))?;
        let mut take = |prefix: &str| -> Result<Vec<Tensor>> {
            let one = |(name, value): (&str, &Tensor)| {
                let name = format!("{prefix}.{name}");
                let tensor = tensors.remove(&name).filter(|tensor| tensor.shape() == value.shape());
                tensor.ok_or_else(|| refuse(format!("expected tensor {name} of shape {:?}", value.dims())))
            };
            model.parameters().map(one).collect()
        };
        let (first, second) = (take("m")?, take("v")?);
        (self.step, self.first, self.second) = (step, first, second);
        Ok(())
    }
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

impl Rule {
    fn apply(&self, value: &Tensor, gradient: &Tensor, first: &Tensor, second: &Tensor) -> Result<()> {
        /// Numbers per piece of work.
        const PIECE: usize = 16 * 1024;
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
    use candle_core::Device;

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

    #[test]
    fn a_resumed_run_is_the_uninterrupted_one_bit_for_bit() {
        let config = Config::tiny(40, 16, 1, 2, 1);
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("optimizer.safetensors");
        let mut whole = Model::random(&config, 4).unwrap();
        let mut optimiser = AdamW::new(&whole).unwrap();
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
        optimiser.load(&resumed, &state).unwrap();
        assert_eq!(optimiser.step(), 3);
        for step in 3..6 {
            let given = gradients(&resumed, step);
            optimiser.update(&mut resumed, &given, 1e-3).unwrap();
        }
        assert_eq!(values(&resumed), values(&whole));

        let other = Model::random(&Config::tiny(41, 16, 1, 2, 1), 4).unwrap();
        let refused = optimiser.load(&other, &state).unwrap_err().to_string();
        assert!(
            refused.contains("expected tensor m.model.embed_tokens.weight of shape [41, 16]"),
            "{refused}"
        );
        let refused = optimiser.load(&resumed, &directory.path().join("model.safetensors")).unwrap_err();
        assert!(refused.to_string().contains("number of steps"), "{refused}");
    }
}
