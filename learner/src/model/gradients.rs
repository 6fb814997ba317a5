//! One gradient per parameter, in the parameters' order.

use candle_core::Tensor;

use super::Model;
use crate::error::{EngineError, Result};
use crate::ops;

/// Gradients of a loss in the order of `Model::parameters`.
#[derive(Debug)]
pub struct Gradients {
    values: Vec<Tensor>,
}

impl Gradients {
    /// All zero.
    ///
    /// # Errors
    /// The tensor layer refused.
    pub fn zeros(model: &Model) -> Result<Gradients> {
        let values =
            model.parameters().map(|(_, value)| value.zeros_like()).collect::<candle_core::Result<_>>()?;
        Ok(Gradients { values })
    }

    /// Gradients computed elsewhere, in the parameters' order.
    ///
    /// # Errors
    /// Another number of tensors than the model has parameters, or another shape.
    pub fn from_tensors(model: &Model, values: Vec<Tensor>) -> Result<Gradients> {
        let same = values.len() == model.parameters().len()
            && values.iter().zip(model.parameters()).all(|(value, (_, own))| value.shape() == own.shape());
        if same {
            Ok(Gradients { values })
        } else {
            Err(EngineError::Input("the gradients are not one per parameter of the same shape".to_owned()))
        }
    }

    /// The gradients, in the parameters' order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.values
    }

    pub(crate) fn value(&self, slot: usize) -> &Tensor {
        &self.values[slot]
    }

    /// Adds those of another batch of the same model.
    ///
    /// # Errors
    /// They belong to a model of another shape.
    pub fn add(&mut self, other: &Gradients) -> Result<()> {
        for (own, theirs) in self.values.iter().zip(&other.values) {
            ops::update(own, theirs, |own, theirs| *own += theirs)?;
        }
        Ok(())
    }

    /// Multiplies all of them.
    ///
    /// # Errors
    /// The tensor layer refused.
    pub fn scale(&mut self, factor: f32) -> Result<()> {
        for value in &self.values {
            ops::write(value, |value| value.iter_mut().for_each(|value| *value *= factor))?;
        }
        Ok(())
    }

    /// The Euclidean norm of all of them together.
    ///
    /// # Errors
    /// The tensor layer refused.
    pub fn global_norm(&self) -> Result<f64> {
        let mut sum = 0.0;
        for value in &self.values {
            sum += ops::read(value)?.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
        }
        Ok(sum.sqrt())
    }
}
