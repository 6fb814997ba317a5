//! Powers: whole ones multiplied out or taken term by term, symbolic ones as atoms with an exponent.

use super::Formal;
use super::form::{Base, EXPONENT, Exponent, Factor, Frac, Mono, Poly, is_i_pi, is_negative};
use super::primes::prime_factors;
use crate::math::budget::{Step, Stop, size_cost, words};
use crate::math::numeric;
use dashu_int::ops::{Abs, BitTest};
use dashu_ratio::RBig;
use std::cmp::Ordering;
use std::sync::Arc;

impl<'b> Formal<'b> {
    pub(super) fn integer_power(&mut self, base: &Poly, power: u64) -> Step<Poly> {
        let mut result = Poly::rational(RBig::ONE);
        if let Some((mono, value)) = base.single() {
            let power = i64::try_from(power).map_err(|_| EXPONENT)?;
            return self.term_power(mono, value, power);
        }
        if power > self.budget.expand_power {
            return Err(Stop::Limit("power of a sum"));
        }
        let mut square = base.clone();
        let mut left = power;
        while left > 0 {
            if left & 1 == 1 {
                result = self.times_poly(&result, &square)?;
            }
            left >>= 1;
            if left > 0 {
                square = self.square(&square)?;
            }
        }
        Ok(result)
    }

    /// A whole power of one term, however large.
    fn term_power(&mut self, mono: &Mono, value: &RBig, power: i64) -> Step<Poly> {
        let exponent = Exponent::new(power, 1)?;
        let mut factors = Vec::with_capacity(mono.0.len() + 2);
        for factor in &mono.0 {
            factors.push(Factor { power: factor.power.times(exponent)?, ..factor.clone() });
        }
        let bits = value.numerator().bit_len().max(value.denominator().bit_len()) as u64;
        let unit = *value == RBig::ONE || *value == -RBig::ONE;
        let (value, mono, groups) =
            if unit || bits.saturating_mul(power.unsigned_abs()) <= self.budget.bits as u64 {
                let size = (if unit { power.rem_euclid(2) } else { power }).unsigned_abs() as usize;
                self.fuel.take(size_cost(words(value) * size, words(value) * size))?;
                let raised = value.pow(size as isize);
                let raised = if power < 0 { RBig::ONE / raised } else { raised };
                self.settle(raised, factors)?
            } else {
                let sign = if is_negative(value) && power % 2 != 0 { -RBig::ONE } else { RBig::ONE };
                let primes = prime_factors(value, exponent, &mut self.fuel)?;
                self.times_mono(&Mono(factors), &Mono(primes), sign)?
            };
        // One factor alone is taken as it is by `times_mono`; settle it here.
        let (value, mono, more) = self.settle(value, mono.0)?;
        let mut result = Poly::term(value, mono);
        for (group, power) in groups.into_iter().chain(more) {
            let group = self.integer_power(&group, power)?;
            result = self.times_poly(&result, &group)?;
        }
        Ok(result)
    }

    pub(super) fn whole_power(&mut self, base: &Frac, power: i64) -> Step<Frac> {
        if base.above.is_zero() {
            return match power.cmp(&0) {
                Ordering::Greater => Ok(base.clone()),
                Ordering::Equal => Err(Stop::Undefined("zero to the power zero")),
                Ordering::Less => Err(Stop::Undefined("division by zero")),
            };
        }
        if power == 0 {
            self.note_divisor(&base.above)?;
            return Ok(Frac::rational(RBig::ONE));
        }
        let above = self.integer_power(&base.above, power.unsigned_abs())?;
        let below = match &base.below {
            Some(below) => Some(self.integer_power(below, power.unsigned_abs())?),
            None => None,
        };
        if power > 0 {
            return self.ratio(above, below);
        }
        self.note_divisor(&base.above)?;
        self.ratio(below.unwrap_or_else(|| Poly::rational(RBig::ONE)), Some(above))
    }

    pub(super) fn rational_power(&mut self, base: &Frac, power: Exponent) -> Step<Frac> {
        if power.is_integer() {
            return self.whole_power(base, power.above);
        }
        let Some(below) = &base.below else { return self.root(&base.above, power) };
        let flip = below.is_constant() && !below.has_imaginary() && self.sign(below)? == Ordering::Less;
        let (above, below) =
            if flip { (base.above.negated(), below.negated()) } else { (base.above.clone(), below.clone()) };
        let above = self.root(&above, power)?;
        let below = self.root(&below, power)?;
        self.divide(&above, &below)
    }

    pub(super) fn sign(&mut self, poly: &Poly) -> Step<Ordering> {
        if let Some(value) = poly.as_rational() {
            return Ok(value.cmp(&RBig::ZERO));
        }
        numeric::sign(poly, &mut self.fuel)
    }

    pub(super) fn power(&mut self, base: &Frac, exponent: &Frac) -> Step<Frac> {
        if let Some(exponent) = exponent.as_rational() {
            return match Exponent::from_rational(&exponent) {
                Ok(exponent) => self.rational_power(base, exponent),
                Err(stop) => match base.as_rational() {
                    Some(one) if one == RBig::ONE => Ok(base.clone()),
                    _ => Err(stop),
                },
            };
        }
        if exponent.below.is_some() {
            return Err(Stop::Unsupported("an exponent with a sum in its denominator"));
        }
        if base.above.is_zero() {
            return Err(Stop::Unsupported("zero to a symbolic power"));
        }
        let mut result = Frac::rational(RBig::ONE);
        for (over, value) in &exponent.above.0 {
            let raised = if over.is_one() {
                match Exponent::from_rational(value) {
                    Ok(power) => self.rational_power(base, power)?,
                    Err(stop) => return Err(stop),
                }
            } else {
                let power = Exponent::from_rational(value)?;
                let above = self.symbolic_power(&base.above, over, power)?;
                match &base.below {
                    None => above,
                    Some(below) => {
                        let below = self.symbolic_power(below, over, power)?;
                        self.divide(&above, &below)?
                    }
                }
            };
            result = self.times(&result, &raised)?;
        }
        Ok(result)
    }

    /// `base ^ (power * over)`.
    fn symbolic_power(&mut self, base: &Poly, over: &Mono, power: Exponent) -> Step<Frac> {
        self.note_divisor(base)?;
        let over = Arc::new(over.clone());
        let Some((mono, value)) = base.single() else {
            let group = Base::Group(Arc::new(base.clone()));
            let factor = Factor { base: group, over: Some(over), power };
            return Ok(Frac::poly(Poly::term(RBig::ONE, Mono(vec![factor]))));
        };
        if is_i_pi(Some(&over)) && mono.0.len() == 1 && *value == RBig::ONE {
            let factor = &mono.0[0];
            if factor.base == Base::Euler && factor.over.is_none() {
                return self.turn(power.times(factor.power)?);
            }
        }
        let mut factors = Vec::new();
        if is_negative(value) {
            factors.push(Factor { base: Base::MinusOne, over: Some(over.clone()), power });
        }
        let number = value.clone().abs();
        if number != RBig::ONE {
            for factor in prime_factors(&number, power, &mut self.fuel)? {
                factors.push(Factor { over: Some(over.clone()), ..factor });
            }
        }
        for factor in &mono.0 {
            let power = factor.power.times(power)?;
            match (&factor.base, &factor.over) {
                (Base::Imaginary, _) => return Err(Stop::Unsupported("a symbolic power of i")),
                (_, None) => factors.push(Factor { over: Some(over.clone()), power, ..factor.clone() }),
                (Base::Euler | Base::Pi | Base::Prime(_) | Base::Symbol(_), Some(inner)) => {
                    let (scale, product, groups) = self.times_mono(inner, &over, RBig::ONE)?;
                    if !groups.is_empty() {
                        return Err(Stop::Unsupported("a power of a power"));
                    }
                    let power = power.times(Exponent::from_rational(&scale)?)?;
                    let over = if product.is_one() { None } else { Some(Arc::new(product)) };
                    factors.push(Factor { base: factor.base.clone(), over, power });
                }
                _ => return Err(Stop::Unsupported("a power of a power")),
            }
        }
        factors.sort();
        let (value, mono, _) = self.settle(RBig::ONE, factors)?;
        Ok(Frac::poly(Poly::term(value, mono)))
    }
}
