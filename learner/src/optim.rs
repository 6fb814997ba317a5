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
