//! Our figures beside those that transformers and torch computed, written by `scripts/parity.py` into a directory: a
//! checkpoint, `parity.json` (sequences, loss, greedy tokens, the optimizer's numbers) and `parity.safetensors` (logits,
//! gradients, parameters after the optimizer's steps). Shared by the test and the script's other side.

use std::error::Error;
use std::path::Path;

use assay_learner::model::{Batch, Gradients, Model};
use assay_learner::optim::AdamW;
use assay_learner::sampler::{Sampler, SamplingParams};
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

/// What the directory says beside the tensors.
#[derive(Debug, Deserialize)]
struct Case {
    /// Every token but the first of each is predicted.
    sequences: Vec<Vec<u32>>,
    /// Mean cross-entropy of the predicted tokens.
    loss: f64,
    adamw: Rule,
    greedy: Greedy,
}

#[derive(Debug, Deserialize)]
struct Rule {
    steps: usize,
    learning_rate: f64,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
}

#[derive(Debug, Deserialize)]
struct Greedy {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
}

/// How far the two sides are apart.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Greatest difference of a logit.
    pub(crate) logits: f64,
    /// Greatest logit, for scale.
    pub(crate) greatest_logit: f64,
    /// Difference of the loss.
    pub(crate) loss: f64,
    /// Greatest difference of a gradient, as a share of the greatest of its tensor; the worst tensor.
    pub(crate) gradients: f64,
    /// That tensor.
    pub(crate) worst_gradient: String,
    /// Tensors that have a gradient here.
    pub(crate) tensors: usize,
    /// Greatest difference of a parameter after the optimizer's steps on given gradients.
    pub(crate) adamw: f64,
    /// Greedy tokens that agree before the first that does not.
    pub(crate) greedy: usize,
    /// Greedy tokens in all.
    pub(crate) greedy_of: usize,
}

/// Computes what the directory holds and compares.
pub(crate) fn compare(directory: &Path) -> Result<Figures, Box<dyn Error>> {
    let case: Case = serde_json::from_str(&std::fs::read_to_string(directory.join("parity.json"))?)?;
    let bytes = std::fs::read(directory.join("parity.safetensors"))?;
    let theirs = SafeTensors::deserialize(&bytes)?;
    let theirs = |name: &str| -> Result<Vec<f32>, Box<dyn Error>> {
        let view = theirs.tensor(name).map_err(|error| format!("{name}: {error}"))?;
        Ok(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    };
    let mut model = Model::load(directory)?;

    let (mut logits, mut greatest_logit) = (0.0_f64, 0.0_f64);
    for (index, tokens) in case.sequences.iter().enumerate() {
        let (ours, reference) = (model.logits(tokens)?.concat(), theirs(&format!("logits.{index}"))?);
        logits = worse(logits, difference(&ours, &reference)?);
        greatest_logit = worse(greatest_logit, greatest(&reference));
    }

    let mut batch = Batch::new();
    for tokens in &case.sequences {
        batch.push(&tokens[..1], &tokens[1..])?;
    }
    let count = batch.response_tokens();
    let (stats, gradients) = model.loss_backward(&batch, 1.0, &|_| vec![-1.0 / count as f32; count])?;
    let loss = -stats.logprob.iter().map(|&logprob| f64::from(logprob)).sum::<f64>() / count as f64;
    let (mut worst, mut worst_gradient) = (0.0, String::new());
    let mut given = Vec::new();
    for ((name, value), ours) in model.parameters().zip(gradients.tensors()) {
        let reference = theirs(&format!("gradient.{name}"))?;
        let off = difference(&flat(ours)?, &reference)? / greatest(&reference);
        if off.is_nan() || off >= worst {
            (worst, worst_gradient) = (off, name.to_owned());
        }
        given.push(Tensor::from_vec(reference, value.shape(), &Device::Cpu)?);
    }

    let greedy = SamplingParams {
        greedy: true,
        max_new_tokens: case.greedy.tokens.len(),
        ..SamplingParams::default()
    };
    let ours = Sampler::new(&model).generate(std::slice::from_ref(&case.greedy.prompt), &greedy)?;
    let agree = ours[0].completion_ids.iter().zip(&case.greedy.tokens).take_while(|(a, b)| a == b).count();

    // The gradients are given: the first step divides by their size, so rounding where they are near 0 would show.
    let given = Gradients::from_tensors(&model, given)?;
    let mut optimizer = AdamW::new(&model)?;
    (optimizer.betas, optimizer.eps) = (case.adamw.betas, case.adamw.eps);
    optimizer.weight_decay = case.adamw.weight_decay;
    for _ in 0..case.adamw.steps {
        optimizer.update(&mut model, &given, case.adamw.learning_rate)?;
    }
    let mut adamw = 0.0_f64;
    for (name, value) in model.parameters() {
        adamw = worse(adamw, difference(&flat(value)?, &theirs(&format!("adamw.{name}"))?)?);
    }
    Ok(Figures {
        logits,
        greatest_logit,
        loss: (loss - case.loss).abs(),
        gradients: worst,
        worst_gradient,
        tensors: gradients.tensors().len(),
        adamw,
        greedy: agree,
        greedy_of: case.greedy.tokens.len(),
    })
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>, Box<dyn Error>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// The greater of two, or NaN where one is: `f64::max` would drop it, and whatever is no number would pass.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || a >= b { a } else { b }
}

fn greatest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |most, &value| worse(most, f64::from(value.abs())))
}

fn difference(ours: &[f32], theirs: &[f32]) -> Result<f64, Box<dyn Error>> {
    if ours.len() != theirs.len() || theirs.is_empty() {
        return Err(format!("{} numbers here, {} there", ours.len(), theirs.len()).into());
    }
    Ok(ours.iter().zip(theirs).fold(0.0, |most, (a, b)| worse(most, f64::from((a - b).abs()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gradients that were NaN throughout were 0 apart from any.
    #[test]
    fn what_is_no_number_is_no_small_difference() {
        let right = [1.0, 2.0, 3.0];
        for at in 0..3 {
            let mut ours = right;
            ours[at] = f32::NAN;
            assert!(difference(&ours, &right).unwrap().is_nan() && greatest(&ours).is_nan(), "{at}");
            assert!(difference(&right, &ours).unwrap().is_nan(), "{at}");
        }
        assert!(difference(&[f32::NAN; 3], &right).unwrap().is_nan());
        assert_eq!((difference(&[1.0, 2.5, 3.0], &right).unwrap(), greatest(&right)), (0.5, 3.0));
        let kept = [0.1, f64::NAN, 0.2].into_iter().fold(0.0, worse);
        assert!(kept.is_nan() && worse(0.1, 0.2) == 0.2 && worse(0.2, 0.1) == 0.2);
    }
}
