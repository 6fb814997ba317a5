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
        Ok(Gradients { values: model.zeros()? })
    }

    /// Gradients computed elsewhere, in the parameters' order.
    ///
    /// # Errors
    /// Another number of tensors than the model has parameters, or another shape.
    pub fn from_tensors(model: &Model, values: Vec<Tensor>) -> Result<Gradients> {
        let gradients = Gradients { values };
        gradients.belong_to(model)?;
        Ok(gradients)
    }

    /// That there is one per parameter, of the same shape.
    pub(super) fn belong_to(&self, model: &Model) -> Result<()> {
        let mut pairs = self.values.iter().zip(model.parameters());
        let same = pairs.all(|(value, (_, own))| value.shape() == own.shape());
        if same && self.values.len() == model.parameters().len() {
            return Ok(());
        }
        Err(EngineError::Input("the gradients are not one per parameter of the same shape".to_owned()))
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
            ops::add(own, theirs)?;
        }
        Ok(())
    }

    /// Multiplies all of them.
    ///
    /// # Errors
    /// The tensor layer refused.
    pub fn scale(&mut self, factor: f32) -> Result<()> {
        for value in &self.values {
            ops::scale(value, factor)?;
        }
        Ok(())
    }

    /// The Euclidean norm of all of them together.
    ///
    /// # Errors
    /// The tensor layer refused.
    pub fn global_norm(&self) -> Result<f64> {
        Ok(ops::sum_of_squares(&self.values)?.sqrt())
    }
}
