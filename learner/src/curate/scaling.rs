//! What more prompts and more answers bring: the regression of AceReason-Nemotron 1.1.
//!
//! Mean accuracy, in percent, by least squares on log2(unique prompts) and log2(responses per prompt), each taken to mean 0
//! and standard deviation 1 over the rows. The paper found 4.831 for prompts and 2.635 for responses, R2 = 0.989, over
//! seven mixes of SFT data.

use serde::{Deserialize, Serialize};

/// One trained mix.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Mix {
    /// Unique prompts.
    pub prompts: f64,
    /// Responses per prompt, on average.
    pub responses: f64,
    /// Mean accuracy, percent.
    pub accuracy: f64,
}

/// The fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fit {
    /// Points of accuracy for a standard deviation of log2(prompts).
    pub prompts: f64,
    /// The same for log2(responses per prompt).
    pub responses: f64,
    /// Accuracy at both means.
    pub intercept: f64,
    /// The part of the variance that is explained; 1 where there is none.
    pub r2: f64,
    /// Points for twice as many prompts.
    pub doubling_prompts: f64,
    /// Points for twice as many responses per prompt.
    pub doubling_responses: f64,
}

/// The paper's, for comparison.
pub const PAPER: (f64, f64, f64) = (4.831, 2.635, 0.989);

/// Fits the rows, or says why they cannot be fitted.
pub fn fit(mixes: &[Mix]) -> Result<Fit, String> {
    if mixes.len() < 4 {
        return Err(format!("{} rows; a fit of three numbers needs at least 4", mixes.len()));
    }
    if let Some(at) =
        mixes.iter().position(|mix| !(mix.prompts > 0.0 && mix.responses > 0.0 && mix.accuracy.is_finite()))
    {
        return Err(format!("row {}: prompts and responses must be above 0 and accuracy a number", at + 1));
    }
    let (one, one_std) = standardised(mixes.iter().map(|mix| mix.prompts.log2()).collect(), "prompts")?;
    let (two, two_std) = standardised(mixes.iter().map(|mix| mix.responses.log2()).collect(), "responses")?;
    let n = mixes.len() as f64;
    let intercept = mixes.iter().map(|mix| mix.accuracy).sum::<f64>() / n;
    let rest: Vec<f64> = mixes.iter().map(|mix| mix.accuracy - intercept).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / n;
    // Both have variance 1, so the normal equations are [1 r; r 1].
    let r = dot(&one, &two);
    if 1.0 - r * r < 1e-9 {
        return Err(
            "prompts and responses grow together in all rows: their parts cannot be told apart".to_owned()
        );
    }
    let (y1, y2) = (dot(&one, &rest), dot(&two, &rest));
    let (prompts, responses) = ((y1 - r * y2) / (1.0 - r * r), (y2 - r * y1) / (1.0 - r * r));
    let total = dot(&rest, &rest);
    let explained = prompts * y1 + responses * y2;
    Ok(Fit {
        prompts,
        responses,
        intercept,
        r2: if total == 0.0 { 1.0 } else { explained / total },
        doubling_prompts: prompts / one_std,
        doubling_responses: responses / two_std,
    })
}

/// To mean 0 and standard deviation 1 (over n), and what that was.
fn standardised(values: Vec<f64>, name: &str) -> Result<(Vec<f64>, f64), String> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let std = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
    if std < 1e-12 {
        return Err(format!("{name} is the same in all rows: what more of it brings cannot be told"));
    }
    Ok((values.into_iter().map(|value| (value - mean) / std).collect(), std))
}
