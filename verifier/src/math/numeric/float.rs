//! Outward-rounded f64 intervals: the four operations by one unit in the last place, the elementary functions by 64.

use super::real::Real;
use crate::math::ast::Function;
use dashu_float::ConstCache;
use dashu_ratio::RBig;
use std::cmp::Ordering;

/// An outward-rounded f64 interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Float {
    pub(super) low: f64,
    pub(super) high: f64,
}

/// How far the standard library's elementary functions are trusted.
const TRUST: f64 = 64.0 * f64::EPSILON;

impl Float {
    pub(super) fn new(low: f64, high: f64) -> Option<Float> {
        let fine = low.is_finite() && high.is_finite();
        fine.then(|| Float { low: low.next_down(), high: high.next_up() })
    }

    /// Widens the result of an elementary function.
    pub(super) fn trusted(low: f64, high: f64) -> Option<Float> {
        let (low, high) = (low - low.abs() * TRUST, high + high.abs() * TRUST);
        Float::new(low - f64::MIN_POSITIVE, high + f64::MIN_POSITIVE)
    }
}

impl Real for Float {
    fn rational(value: &RBig, _: usize) -> Option<Float> {
        let near = value.to_f64().value();
        if value.is_int() && near.abs() < 1e15 {
            return Some(Float { low: near, high: near });
        }
        Float::new(near.next_down(), near.next_up())
    }

    fn pi(_: usize, _: &mut ConstCache) -> Option<Float> {
        Float::new(std::f64::consts::PI, std::f64::consts::PI)
    }

    fn add(&self, other: &Float) -> Option<Float> {
        Float::new(self.low + other.low, self.high + other.high)
    }

    fn negated(&self) -> Float {
        Float { low: -self.high, high: -self.low }
    }

    fn times(&self, other: &Float) -> Option<Float> {
        if self.low == self.high && self.low == 1.0 {
            return Some(*other);
        }
        if other.low == other.high && other.low == 1.0 {
            return Some(*self);
        }
        let ends =
            [self.low * other.low, self.low * other.high, self.high * other.low, self.high * other.high];
        if ends.iter().any(|end| end.is_nan()) {
            return None;
        }
        Float::new(
            ends.iter().copied().fold(f64::INFINITY, f64::min),
            ends.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        )
    }

    fn inverse(&self) -> Option<Float> {
        if self.low <= 0.0 && self.high >= 0.0 {
            return None;
        }
        Float::new(1.0 / self.high, 1.0 / self.low)
    }

    fn root(&self, n: usize) -> Option<Float> {
        if self.low <= 0.0 {
            return None;
        }
        if n == 2 {
            return Float::new(self.low.sqrt(), self.high.sqrt());
        }
        let power = 1.0 / n as f64;
        Float::trusted(self.low.powf(power), self.high.powf(power))
    }

    fn exp(&self, _: &mut ConstCache) -> Option<Float> {
        Float::trusted(self.low.exp(), self.high.exp())
    }

    fn ln(&self, _: &mut ConstCache) -> Option<Float> {
        if self.low <= 0.0 {
            return None;
        }
        Float::trusted(self.low.ln(), self.high.ln())
    }

    fn sin_cos(&self, _: &mut ConstCache) -> Option<(Float, Float)> {
        if self.low.abs().max(self.high.abs()) > 1e6 {
            return None;
        }
        let width = self.high - self.low + TRUST;
        let (sine, cosine) = self.low.sin_cos();
        Some((Float::new(sine - width, sine + width)?, Float::new(cosine - width, cosine + width)?))
    }

    fn inverse_function(&self, function: &Function, _: &mut ConstCache) -> Option<Float> {
        let inside = self.low >= -1.0 && self.high <= 1.0;
        match function {
            Function::ArcSin if inside => Float::trusted(self.low.asin(), self.high.asin()),
            Function::ArcCos if inside => Float::trusted(self.high.acos(), self.low.acos()),
            Function::ArcTan => Float::trusted(self.low.atan(), self.high.atan()),
            _ => None,
        }
    }

    fn sign(&self) -> Option<Ordering> {
        if self.low > 0.0 {
            Some(Ordering::Greater)
        } else if self.high < 0.0 {
            Some(Ordering::Less)
        } else if self.low == 0.0 && self.high == 0.0 {
            Some(Ordering::Equal)
        } else {
            None
        }
    }

    fn floors(&self) -> Option<(i64, i64)> {
        let fits = self.low.abs().max(self.high.abs()) < 1e15;
        fits.then(|| (self.low.floor() as i64, self.high.floor() as i64))
    }

    fn log2_size(&self) -> i64 {
        let size = self.low.abs().max(self.high.abs());
        if size == 0.0 { i64::MIN } else { size.log2().ceil() as i64 }
    }

    fn cost(_: usize) -> u64 {
        1
    }

    fn light(_: usize) -> u64 {
        0
    }
}
