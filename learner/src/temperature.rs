//! The sampling temperature, and the temperature-adjusted entropy it is chosen by.
//!
//! The rule of AceReason-Nemotron 1.1: choose the sampling temperature so that the temperature-adjusted entropy
//! is about 0.3. The paper prints no formula; ours is
//!
//! ```text
//! H_T = mean over completion tokens of the Shannon entropy (nats, whole vocabulary) of softmax(z/T)
//! ```
//!
//! measured by the trainer's forward pass over rollouts drawn at that same T. Its slope is known exactly,
//! dH_T / d ln T = mean Var_p(z/T), so on one batch of logits Newton's method finds T in a few forward passes.
//! That is only first order, because other temperatures visit other states: a temperature counts as calibrated
//! only when a *fresh* probe drawn at it measures |H - 0.3| <= 0.03.
//!
//! Three modes. `calibrated` (the paper's way) sets T at the start of a stage and then only watches. `servo`
//! moves T after a step whenever the entropy left a dead band. `fixed` only watches.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a stage sets its sampling temperature. All entropies are in nats per token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Temperature {
    /// Who sets the temperature, and when.
    pub mode: Mode,
    /// Where to start from: the temperature itself in mode `fixed`, the first probe otherwise.
    pub start: f64,
    /// Temperature-adjusted entropy aimed at.
    pub target: f64,
    /// A fresh probe must come this close to the target.
    pub tolerance: f64,
    /// Inside this band the servo leaves the temperature alone.
    pub dead_band: [f64; 2],
    /// Outside this band the drift alarm sounds.
    pub alarm_band: [f64; 2],
    /// Rollouts per probe.
    pub probe: usize,
}

/// Who sets the temperature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The recipe, once.
    Fixed,
    /// A calibration at the start of each stage.
    Calibrated,
    /// A calibration at the start, then after each step outside the dead band a step back.
    Servo,
}

impl Default for Temperature {
    fn default() -> Temperature {
        Temperature {
            mode: Mode::Calibrated,
            start: 1.0,
            target: 0.3,
            tolerance: 0.03,
            dead_band: [0.25, 0.38],
            alarm_band: [0.2, 0.4],
            probe: 512,
        }
    }
}

/// The entropy of some tokens at one temperature, and its slope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Mean over tokens of the entropy of softmax(z/T), in nats.
    pub entropy: f64,
    /// Mean over tokens of the variance of z/T under softmax(z/T): dH / d ln T.
    pub variance: f64,
}

impl Measured {
    /// The mean of per-token entropies and variances; zero of both where there are no tokens.
    pub fn mean(entropies: &[f32], variances: &[f32]) -> Measured {
        let mean = |values: &[f32]| {
            values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64
        };
        Measured { entropy: mean(entropies), variance: mean(variances) }
    }
}

/// Why the entropy left the alarm band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// Below it: exploration is dying.
    Low,
    /// Above it: samples are getting poor.
    High,
}

impl Temperature {
    /// The temperature of the next step, after a step at `temperature` measured `measured`.
    pub fn after_step(&self, temperature: f64, measured: Measured) -> f64 {
        let [low, high] = self.dead_band;
        if self.mode != Mode::Servo || (low..=high).contains(&measured.entropy) {
            return temperature;
        }
        clamp_temperature(temperature * newton_step(self.target, measured, SERVO_STEP).exp())
    }

    /// Whether the entropy left the alarm band, and on which side.
    pub fn drift(&self, entropy: f64) -> Option<Drift> {
        let [low, high] = self.alarm_band;
        match entropy {
            entropy if entropy < low => Some(Drift::Low),
            entropy if entropy > high => Some(Drift::High),
            _ => None,
        }
    }

    /// Whether a probe confirms its temperature.
    pub fn confirms(&self, entropy: f64) -> bool {
        (entropy - self.target).abs() <= self.tolerance
    }
}

/// A temperature that a fresh probe confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// The temperature, T.
    pub temperature: f64,
    /// H(T) of the probe that confirmed it, in nats per token.
    pub entropy: f64,
    /// H(1) of the same tokens.
    pub entropy_at_1: f64,
    /// Steps of ln T that were taken on the logits of the probes before.
    pub newton_steps: u32,
    /// Probes drawn in all.
    pub probes: u32,
}

impl fmt::Display for Calibrated {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Calibrated { temperature, entropy, entropy_at_1, newton_steps, probes } = self;
        write!(
            out,
            "T = {temperature:.4}; H(T) = {entropy:.4} on a fresh probe, H(1) = {entropy_at_1:.4} there; \
             {probes} probes, {newton_steps} Newton steps"
        )
    }
}

/// Temperatures are kept in here; beyond, f32 logits divided by T say nothing any more.
pub const BOUNDS: [f64; 2] = [0.05, 20.0];

/// Largest change of ln T by one Newton step of the solver; H grows faster than linearly in ln T.
const SOLVER_STEP: f64 = 0.5;
/// Largest change of ln T between two training steps.
const SERVO_STEP: f64 = 0.1;
/// The solver stops this close to the target: a tenth of the tolerance of a probe.
const SOLVED: f64 = 0.003;
/// Steps after which the solver gives up; bisection alone would need about 12.
const MOST_STEPS: u32 = 40;

/// No temperature within [`BOUNDS`] reaches the target on these logits.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "no temperature between {} and {} gives entropy {target} on the probe: at {temperature:.3} it is {entropy:.4}",
    BOUNDS[0],
    BOUNDS[1]
)]
pub struct Unreachable {
    /// The entropy asked for.
    pub target: f64,
    /// The last temperature tried.
    pub temperature: f64,
    /// The entropy there.
    pub entropy: f64,
}

/// A temperature that solves for an entropy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Solved {
    /// The temperature.
    pub temperature: f64,
    /// Steps of ln T taken to it, those to the middle of the bracket among them.
    pub steps: u32,
}

/// The temperature at which `measure` gives `target`, starting from `start`: Newton on ln T, guarded by the
/// bracket of what was seen so far. `measure` is asked for the same tokens at different temperatures.
pub fn solve<E: From<Unreachable>>(
    start: f64,
    target: f64,
    mut measure: impl FnMut(f64) -> Result<Measured, E>,
) -> Result<Solved, E> {
    let [mut low, mut high] = BOUNDS.map(f64::ln);
    let mut log_t = clamp_temperature(start).ln();
    let mut last = measure(log_t.exp())?;
    for steps in 0..MOST_STEPS {
        if (last.entropy - target).abs() <= SOLVED {
            return Ok(Solved { temperature: log_t.exp(), steps });
        }
        // Entropy never falls as T rises, so each evaluation is one side of a bracket.
        if last.entropy < target {
            low = log_t;
        } else {
            high = log_t;
        }
        if high - low < 1e-9 {
            break;
        }
        let newton = log_t + newton_step(target, last, SOLVER_STEP);
        log_t = if newton > low && newton < high { newton } else { inside(log_t, low, high) };
        last = measure(log_t.exp())?;
    }
    Err(Unreachable { target, temperature: log_t.exp(), entropy: last.entropy }.into())
}

/// Where Newton would leave the bracket: its middle, or the very bound when that was never tried.
fn inside(log_t: f64, low: f64, high: f64) -> f64 {
    let [lowest, highest] = BOUNDS.map(f64::ln);
    if low == log_t && high == highest && highest - log_t < SOLVER_STEP {
        highest
    } else if high == log_t && low == lowest && log_t - lowest < SOLVER_STEP {
        lowest
    } else {
        f64::midpoint(low, high)
    }
}

/// One Newton step in ln T, at most `most` either way; a flat entropy asks for the largest step.
fn newton_step(target: f64, measured: Measured, most: f64) -> f64 {
    let gap = target - measured.entropy;
    if measured.variance <= 1e-9 {
        return most.copysign(gap);
    }
    (gap / measured.variance).clamp(-most, most)
}

fn clamp_temperature(temperature: f64) -> f64 {
    temperature.clamp(BOUNDS[0], BOUNDS[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;

    /// Entropy and variance of softmax(z/T) in f64, the reference.
    fn reference(logits: &[Vec<f64>], temperature: f64) -> Measured {
        let (mut entropy, mut variance) = (0.0, 0.0);
        for row in logits {
            let scaled: Vec<f64> = row.iter().map(|z| z / temperature).collect();
            let top = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scaled.iter().map(|z| (z - top).exp()).sum();
            let p: Vec<f64> = scaled.iter().map(|z| (z - top).exp() / total).collect();
            let mean: f64 = p.iter().zip(&scaled).map(|(p, z)| p * z).sum();
            entropy -= p.iter().map(|p| if *p > 0.0 { p * p.ln() } else { 0.0 }).sum::<f64>();
            variance += p.iter().zip(&scaled).map(|(p, z)| p * (z - mean).powi(2)).sum::<f64>();
        }
        Measured { entropy: entropy / logits.len() as f64, variance: variance / logits.len() as f64 }
    }

    /// Rows of logits as a trained policy has them: a few candidates stand out, more or less clearly.
    fn logits(sharpness: f64) -> Vec<Vec<f64>> {
        let mut rng = crate::data::stream(1, "logits", 0);
        let mut logit = move || -sharpness * f64::ln(rng.random_range(1e-6..1.0));
        (0..40).map(|_| (0..50).map(|_| logit()).collect()).collect()
    }

    #[test]
    fn two_equal_logits_have_entropy_ln_2_at_any_temperature() {
        for temperature in [0.1, 1.0, 7.0] {
            let measured = reference(&[vec![3.0, 3.0]], temperature);
            assert!((measured.entropy - 2f64.ln()).abs() < 1e-12 && measured.variance.abs() < 1e-12);
        }
    }

    #[test]
    fn the_slope_of_the_entropy_is_the_variance() {
        for temperature in [0.3, 0.6, 1.0, 1.7] {
            let logits = logits(4.0);
            let h = 1e-5;
            let up = reference(&logits, temperature * f64::exp(h)).entropy;
            let down = reference(&logits, temperature * f64::exp(-h)).entropy;
            let slope = (up - down) / (2.0 * h);
            let variance = reference(&logits, temperature).variance;
            assert!((slope - variance).abs() < 1e-5, "T {temperature}: slope {slope}, variance {variance}");
        }
    }

    #[test]
    fn newton_reaches_the_target_in_few_evaluations() {
        for (sharpness, start, target) in [
            (4.0, 0.6, 0.2),
            (4.0, 0.6, 0.3),
            (4.0, 0.6, 0.4),
            (20.0, 1.0, 0.3),
            (1.0, 1.0, 0.3),
            (4.0, 20.0, 0.3),
        ] {
            let logits = logits(sharpness);
            let mut evaluations = 0;
            let Solved { temperature, steps } = solve::<Unreachable>(start, target, |t| {
                evaluations += 1;
                Ok(reference(&logits, t))
            })
            .unwrap();
            assert_eq!(steps + 1, evaluations);
            let entropy = reference(&logits, temperature).entropy;
            assert!((entropy - target).abs() <= SOLVED, "{sharpness} {start} {target}: H {entropy}");
            assert!(evaluations <= 14, "{sharpness} {start} {target}: {evaluations} evaluations");
        }
    }

    #[test]
    fn an_unreachable_target_is_an_error() {
        // A vocabulary of two never exceeds ln 2; equal logits never fall below it.
        for (rows, target) in [(vec![vec![1.0, 0.0]], 0.9), (vec![vec![1.0, 1.0]], 0.3)] {
            let error = solve::<Unreachable>(1.0, target, |t| Ok(reference(&rows, t))).unwrap_err();
            assert_eq!(error.target, target);
        }
    }

    #[test]
    fn only_the_servo_moves_and_only_outside_its_band() {
        let at = |mode, entropy| {
            Temperature { mode, ..Default::default() }.after_step(0.8, Measured { entropy, variance: 0.5 })
        };
        assert_eq!(at(Mode::Fixed, 0.05), 0.8);
        assert_eq!(at(Mode::Calibrated, 0.05), 0.8);
        assert_eq!(at(Mode::Servo, 0.25), 0.8);
        assert_eq!(at(Mode::Servo, 0.38), 0.8);
        assert!((at(Mode::Servo, 0.26 - 0.02) - 0.8 * f64::exp(0.1)).abs() < 1e-12);
        assert!((at(Mode::Servo, 0.39) - 0.8 * f64::exp(-0.1)).abs() < 1e-12);
    }

    #[test]
    fn alarm_and_confirmation() {
        let rule = Temperature::default();
        let rows = [
            (0.19, Some(Drift::Low), false),
            (0.26, None, false),
            (0.28, None, true),
            (0.32, None, true),
            (0.34, None, false),
            (0.41, Some(Drift::High), false),
        ];
        for (entropy, drift, confirmed) in rows {
            assert_eq!((rule.drift(entropy), rule.confirms(entropy)), (drift, confirmed), "{entropy}");
        }
    }
}
