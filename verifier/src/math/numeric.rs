//! Interval evaluation of canonical forms: outward-rounded f64 first, then exact-rounded big floats of 128
//! and 512 bits.
//!
//! What is proven. An interval holds the true value, so an interval without zero proves that a sum is not
//! zero, that is, `Different`, at one point where everything is defined. The four f64 operations are rounded
//! outward by one unit; the elementary functions of the standard library are trusted to 64 units (they are
//! accurate to about one). The big floats round each operation the right way. Agreement is never proof:
//! `Vanishes` says that at 512 bits nothing distinguished the value from zero, at several points where there
//! are variables, and that no part of it was so large or small that 512 bits could not have seen a
//! difference.

mod big;
mod evaluate;
mod float;
mod real;

use super::budget::{Fuel, Step, Stop};
use super::formal::{Frac, Poly};
use big::Big;
use dashu_float::ConstCache;
use evaluate::Evaluator;
use float::Float;
use real::Real;
use std::cmp::Ordering;

/// What evaluation found out about a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Proven different from zero at some point.
    NonZero,
    /// Not distinguishable from zero at this many bits.
    Vanishes(u32),
    /// Nowhere defined, or beyond what can be seen.
    Unknown,
}

/// The bits of the last resort.
pub(crate) const BITS: usize = 512;

/// A value below 2^-(25/32 of the bits) counts as vanished.
const VANISHED: i64 = 25;

/// Parts must lie within 2^-64 .. 2^64 for an agreement to mean anything.
const TAME: i64 = 64;

pub(crate) const POINTS: u64 = 8;

/// The sign of a real constant that is not the canonical zero.
pub(crate) fn sign(poly: &Poly, fuel: &mut Fuel) -> Step<Ordering> {
    let mut unclear = Err(Stop::Limit("precision"));
    let constants = &mut ConstCache::new();
    if let Some(value) = Evaluator::<Float>::new(0, 0, fuel, constants).poly(poly)? {
        match value.re.sign() {
            Some(order) if order != Ordering::Equal => return Ok(order),
            _ => {}
        }
    }
    for bits in [128, BITS] {
        match Evaluator::<Big>::new(bits, 0, fuel, constants).poly(poly)? {
            Some(value) => {
                if let Some(order) = value.re.sign().filter(|order| *order != Ordering::Equal) {
                    return Ok(order);
                }
            }
            None => unclear = Err(Stop::Unsupported("a value that is not a real number")),
        }
    }
    unclear
}

/// Whether a sum is zero, as far as evaluation can tell.
pub(crate) fn vanishes(poly: &Poly, fuel: &mut Fuel) -> Step<Finding> {
    if poly.has_factorial() || poly.alternates() {
        return among_whole_numbers(poly, fuel);
    }
    let points = if poly.is_constant() { 1 } else { POINTS };
    let constants = &mut ConstCache::new();
    for point in 0..points {
        if let Some(value) = Evaluator::<Float>::new(0, point, fuel, constants).poly(poly)?
            && value.is_nonzero()
        {
            return Ok(Finding::NonZero);
        }
    }
    let wanted = points.min(3);
    // Step functions agree at a few points whatever they are of: a difference is proven, agreement says nothing.
    let steps = points > 1 && poly.has_steps();
    for bits in if steps { &[128][..] } else { &[128, BITS] } {
        let bits = *bits;
        let (mut vanished, mut tame) = (0, true);
        for point in 0..points {
            let mut evaluator = Evaluator::<Big>::new(bits, point, fuel, constants);
            let Some(value) = evaluator.poly(poly)? else { continue };
            tame &= !evaluator.wild;
            if value.is_nonzero() {
                return Ok(Finding::NonZero);
            }
            vanished += u64::from(value.log2_size() < -(bits as i64) * VANISHED / 32);
            // At 128 bits every point is looked at: |x| is x at the first ones and nowhere below zero.
            if vanished == wanted && bits == BITS {
                break;
            }
        }
        if bits == BITS && tame && vanished >= wanted {
            return Ok(Finding::Vanishes(BITS as u32));
        }
    }
    Ok(Finding::Unknown)
}

/// Factorials and powers of -1 have values where their arguments are whole. A difference there is proven; agreement at a few whole
/// numbers says little, so it is never taken for equality.
fn among_whole_numbers(poly: &Poly, fuel: &mut Fuel) -> Step<Finding> {
    let constants = &mut ConstCache::new();
    for point in 0..POINTS {
        let mut evaluator = Evaluator::<Float>::new(0, point, fuel, constants);
        evaluator.whole = true;
        if evaluator.poly(poly)?.is_some_and(|value| value.is_nonzero()) {
            return Ok(Finding::NonZero);
        }
    }
    Ok(Finding::Unknown)
}

/// The sign of a real value at one of the points, where it is clear there.
pub(crate) fn sign_at(value: &Frac, point: u64, fuel: &mut Fuel) -> Step<Option<Ordering>> {
    let found = Evaluator::<Float>::new(0, point, fuel, &mut ConstCache::new()).frac(value)?;
    Ok(found.filter(|found| found.im.is_none()).and_then(|found| found.re.sign()))
}

/// A real constant to about nine digits.
pub(crate) fn approximate(value: &Frac, fuel: &mut Fuel) -> Option<f64> {
    let found = Evaluator::<Float>::new(0, 0, fuel, &mut ConstCache::new()).frac(value).ok()??;
    let (low, high) = (found.re.low, found.re.high);
    let constant = value.above.is_constant() && value.below.as_ref().is_none_or(Poly::is_constant);
    let narrow = |low: f64, high: f64, size: f64| high - low <= 1e-9 * size.max(f64::MIN_POSITIVE);
    let size = low.abs().max(high.abs());
    // Sines are written with e^(ix): their imaginary part is zero, and an interval around it.
    let real = found.im.is_none_or(|im| im.low <= 0.0 && im.high >= 0.0 && narrow(im.low, im.high, size));
    (constant && real && narrow(low, high, size)).then_some(low + (high - low) / 2.0)
}

/// Whether a divisor is proven to be different from zero somewhere.
pub(crate) fn is_nonzero(poly: &Poly, fuel: &mut Fuel) -> Step<bool> {
    Ok(vanishes(poly, fuel)? == Finding::NonZero)
}
