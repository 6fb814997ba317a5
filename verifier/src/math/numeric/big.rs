//! Intervals of big floats, each end rounded outward by dashu's correctly rounded operations.

use super::real::Real;
use crate::math::ast::Function;
use dashu_float::round::mode::{Down, Up};
use dashu_float::{Context, FpResult, Repr};
use dashu_int::IBig;
use dashu_int::ops::BitTest;
use dashu_ratio::RBig;
use std::cmp::Ordering;

/// An interval of big floats, each end rounded outward at `bits` bits.
#[derive(Clone, Debug)]
pub(super) struct Big {
    low: Repr<2>,
    high: Repr<2>,
    bits: usize,
}

fn down(bits: usize) -> Context<Down> {
    Context::new(bits)
}

pub(super) fn up(bits: usize) -> Context<Up> {
    Context::new(bits)
}

/// The number out of a rounded result; infinities end the evaluation.
fn finite<R: dashu_float::round::Round>(result: FpResult<dashu_float::FBig<R, 2>>) -> Option<Repr<2>> {
    let repr = result.ok()?.value().into_repr();
    repr.is_finite().then_some(repr)
}

impl Big {
    pub(super) fn new(low: Option<Repr<2>>, high: Option<Repr<2>>, bits: usize) -> Option<Big> {
        Some(Big { low: low?, high: high?, bits })
    }

    fn is_above_zero(&self) -> bool {
        self.sign() == Some(Ordering::Greater)
    }

    /// Refuses arguments whose function value would need an astronomic exponent.
    fn is_moderate(&self) -> bool {
        self.log2_size() < 40
    }
}

impl Real for Big {
    fn rational(value: &RBig, bits: usize) -> Option<Big> {
        let above: Repr<2> = Repr::from(value.numerator().clone());
        if value.is_int() && value.numerator().bit_len() <= bits {
            return Some(Big { low: above.clone(), high: above, bits });
        }
        let below: Repr<2> = Repr::from(value.denominator().clone());
        Big::new(finite(down(bits).div(&above, &below)), finite(up(bits).div(&above, &below)), bits)
    }

    fn pi(bits: usize) -> Option<Big> {
        let low = down(bits).pi::<2>(None).value().into_repr();
        let high = up(bits).pi::<2>(None).value().into_repr();
        Some(Big { low, high, bits })
    }

    fn add(&self, other: &Big) -> Option<Big> {
        let bits = self.bits;
        Big::new(
            finite(down(bits).add(&self.low, &other.low)),
            finite(up(bits).add(&self.high, &other.high)),
            bits,
        )
    }

    fn negated(&self) -> Big {
        Big { low: -self.high.clone(), high: -self.low.clone(), bits: self.bits }
    }

    fn times(&self, other: &Big) -> Option<Big> {
        let bits = self.bits;
        let pairs = [
            (&self.low, &other.low),
            (&self.low, &other.high),
            (&self.high, &other.low),
            (&self.high, &other.high),
        ];
        let (mut low, mut high): (Option<Repr<2>>, Option<Repr<2>>) = (None, None);
        for (a, b) in pairs {
            let floor = finite(down(bits).mul(a, b))?;
            let ceiling = finite(up(bits).mul(a, b))?;
            low = Some(match low {
                Some(low) if low <= floor => low,
                _ => floor,
            });
            high = Some(match high {
                Some(high) if high >= ceiling => high,
                _ => ceiling,
            });
        }
        Big::new(low, high, bits)
    }

    fn inverse(&self) -> Option<Big> {
        if !matches!(self.sign(), Some(Ordering::Less | Ordering::Greater)) {
            return None;
        }
        let one: Repr<2> = Repr::one();
        let bits = self.bits;
        Big::new(finite(down(bits).div(&one, &self.high)), finite(up(bits).div(&one, &self.low)), bits)
    }

    fn root(&self, n: usize) -> Option<Big> {
        if !self.is_above_zero() || n == 0 || n > 64 {
            return None;
        }
        let bits = self.bits;
        if n == 2 {
            return Big::new(finite(down(bits).sqrt(&self.low)), finite(up(bits).sqrt(&self.high)), bits);
        }
        Big::new(finite(down(bits).nth_root(n, &self.low)), finite(up(bits).nth_root(n, &self.high)), bits)
    }

    fn exp(&self) -> Option<Big> {
        if !self.is_moderate() {
            return None;
        }
        let bits = self.bits;
        Big::new(finite(down(bits).exp(&self.low, None)), finite(up(bits).exp(&self.high, None)), bits)
    }

    fn ln(&self) -> Option<Big> {
        if !self.is_above_zero() {
            return None;
        }
        let bits = self.bits;
        Big::new(finite(down(bits).ln(&self.low, None)), finite(up(bits).ln(&self.high, None)), bits)
    }

    fn sin_cos(&self) -> Option<(Big, Big)> {
        if !self.is_moderate() {
            return None;
        }
        // |sin a - sin b| <= |a - b|: the value at one end, widened by the width of the argument.
        let bits = self.bits;
        let width = finite(up(bits).sub(&self.high, &self.low))?;
        let spread = |low: Option<Repr<2>>, high: Option<Repr<2>>| {
            Big::new(finite(down(bits).sub(&low?, &width)), finite(up(bits).add(&high?, &width)), bits)
        };
        let sine = spread(finite(down(bits).sin(&self.low, None)), finite(up(bits).sin(&self.low, None)))?;
        let cosine = spread(finite(down(bits).cos(&self.low, None)), finite(up(bits).cos(&self.low, None)))?;
        Some((sine, cosine))
    }

    fn inverse_function(&self, function: &Function) -> Option<Big> {
        let bits = self.bits;
        match function {
            Function::ArcSin => Big::new(
                finite(down(bits).asin(&self.low, None)),
                finite(up(bits).asin(&self.high, None)),
                bits,
            ),
            Function::ArcCos => Big::new(
                finite(down(bits).acos(&self.high, None)),
                finite(up(bits).acos(&self.low, None)),
                bits,
            ),
            Function::ArcTan => Big::new(
                finite(down(bits).atan(&self.low, None)),
                finite(up(bits).atan(&self.high, None)),
                bits,
            ),
            _ => None,
        }
    }

    fn sign(&self) -> Option<Ordering> {
        let zero: Repr<2> = Repr::zero();
        if self.low > zero {
            Some(Ordering::Greater)
        } else if self.high < zero {
            Some(Ordering::Less)
        } else if self.low == zero && self.high == zero {
            Some(Ordering::Equal)
        } else {
            None
        }
    }

    fn floors(&self) -> Option<(i64, i64)> {
        if self.log2_size() > 60 {
            return None;
        }
        let floor = |x: &Repr<2>| {
            let (significand, exponent) = x.clone().into_parts();
            let shift = exponent.unsigned_abs();
            // `>>` on a big integer rounds towards minus infinity.
            i64::try_from(if exponent >= 0 { significand << shift } else { significand >> shift }).ok()
        };
        Some((floor(&self.low)?, floor(&self.high)?))
    }

    fn log2_size(&self) -> i64 {
        let size = |x: &Repr<2>| {
            if *x.significand() == IBig::ZERO {
                i64::MIN
            } else {
                (x.exponent() as i64).saturating_add(x.significand().bit_len() as i64)
            }
        };
        size(&self.low).max(size(&self.high))
    }

    fn cost(bits: usize) -> u64 {
        if bits <= 128 { 200 } else { 600 }
    }
}
