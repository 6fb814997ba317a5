//! One gradient per trained parameter, in their order.

use candle_core::Tensor;

use super::Model;
use crate::error::{EngineError, Result};
use crate::ops;

/// Gradients of a loss in the order of `Model::trained`.
#[derive(Debug)]
pub struct Gradients {
    values: Vec<Tensor>,
    /// The slot of the first: what comes before is not trained.
    first: usize,
}

impl Gradients {
    /// All zero.
    ///
    /// # Errors
    /// The tensor layer refused.
    pub fn zeros(model: &Model) -> Result<Gradients> {
        Ok(Gradients { values: model.zeros()?, first: model.first_trained() })
    }

    /// Gradients computed elsewhere, in the order of `Model::trained`.
    ///
    /// # Errors
    /// Another number of tensors than the model has trained parameters, or another shape.
    pub fn from_tensors(model: &Model, values: Vec<Tensor>) -> Result<Gradients> {
        let gradients = Gradients { values, first: model.first_trained() };
        gradients.belong_to(model)?;
        Ok(gradients)
    }

    /// That there is one per trained parameter, of the same shape.
    pub(super) fn belong_to(&self, model: &Model) -> Result<()> {
        let mut pairs = self.values.iter().zip(model.trained());
        let same = pairs.all(|(value, (_, own))| value.shape() == own.shape());
        if same && self.values.len() == model.trained().len() {
            return Ok(());
        }
        Err(EngineError::Input(
            "the gradients are not one per trained parameter of the same shape".to_owned(),
        ))
    }

    /// The gradients, in the order of `Model::trained`.
    pub fn tensors(&self) -> &[Tensor] {
        &self.values
    }

    /// Of a parameter, where it is trained.
    pub(crate) fn value(&self, slot: usize) -> Option<&Tensor> {
        self.values.get(slot.checked_sub(self.first)?)
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
