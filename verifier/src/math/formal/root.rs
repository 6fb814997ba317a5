//! Roots of numbers, of terms and of sums: prime radicals, real odd roots, denesting, roots of unity.

use super::Formal;
use super::form::{Base, Exponent, Factor, Frac, Mono, Poly, is_negative, is_positive, mono_factors};
use super::primes::{content, exact_root, prime_factors};
use crate::math::budget::{Step, Stop};
use dashu_int::ops::{Abs, UnsignedAbs};
use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;
use std::cmp::Ordering;
use std::sync::Arc;

impl<'b> Formal<'b> {
    /// `base ^ power` for a power that is not whole.
    pub(super) fn root(&mut self, base: &Poly, power: Exponent) -> Step<Frac> {
        if base.is_zero() {
            return if power.above > 0 {
                Ok(Frac::poly(Poly::default()))
            } else {
                Err(Stop::Undefined("division by zero"))
            };
        }
        if let Some((mono, value)) = base.single() {
            return self.term_root(mono, value, power);
        }
        let mut radicand = base.clone();
        let mut outside = Frac::rational(RBig::ONE);
        if base.is_constant() {
            if base.has_imaginary() && !self.is_real(base) {
                return Err(Stop::Unsupported("a root of a complex number"));
            }
            match self.sign(base)? {
                Ordering::Less => {
                    radicand = base.negated();
                    outside = self.minus_one_power(power)?;
                }
                Ordering::Equal => return Err(Stop::Limit("precision")),
                Ordering::Greater => {}
            }
            if power.below == 2
                && let Some(root) = self.denested(&radicand)?
            {
                let raised = self.whole_power(&root, power.above)?;
                return self.times(&outside, &raised);
            }
        }
        let content = content(&radicand);
        let radicand = radicand.scaled(&(RBig::ONE / content.clone()));
        let number = self.number_root(&content, power)?;
        let outside = self.times(&outside, &number)?;
        let group = self.group(radicand, power)?;
        self.times(&outside, &group)
    }

    /// A sum with i in it is real where its conjugate is itself.
    fn is_real(&mut self, poly: &Poly) -> bool {
        self.conjugate(poly).is_some_and(|other| other == *poly)
    }

    /// i becomes -i and e^(i x) becomes e^(-i x); `None` where i stands elsewhere.
    pub(super) fn conjugate(&mut self, poly: &Poly) -> Option<Poly> {
        let mut result = Poly::default();
        for (mono, value) in &poly.0 {
            let mut value = value.clone();
            let mut factors = Vec::new();
            for factor in &mono.0 {
                let mut factor = factor.clone();
                if factor.base == Base::Imaginary {
                    value = -value;
                } else if let Some(over) = &factor.over {
                    let imaginary = over.0.iter().filter(|inner| inner.base == Base::Imaginary).count();
                    if imaginary == 1 {
                        factor.power = factor.power.negated();
                    } else if !mono_factors(over, &mut |inner| inner.base != Base::Imaginary) {
                        return None;
                    }
                } else if let Base::Group(group) = &factor.base
                    && group.has_imaginary()
                {
                    return None;
                }
                factors.push(factor);
            }
            let (value, mono, groups) = self.settle(value, factors).ok()?;
            if !groups.is_empty() {
                return None;
            }
            self.add_term(&mut result, mono, value).ok()?;
        }
        Some(result)
    }

    pub(super) fn group(&mut self, radicand: Poly, power: Exponent) -> Step<Frac> {
        let whole = power.floor();
        let outside = self.whole_power(&Frac::poly(radicand.clone()), whole)?;
        let group = Mono::of(Base::Group(Arc::new(radicand)), power.fraction());
        self.times(&outside, &Frac::poly(Poly::term(RBig::ONE, group)))
    }

    /// `sqrt(a + s)` with s^2 and a^2 - s^2 = d^2 rational: sqrt((a+d)/2) +- sqrt((a-d)/2).
    fn denested(&mut self, radicand: &Poly) -> Step<Option<Frac>> {
        if radicand.0.len() != 2 || radicand.has_imaginary() {
            return Ok(None);
        }
        let Some(a) = radicand.0.get(&Mono::default()).cloned() else { return Ok(None) };
        let Some((mono, value)) = radicand.0.iter().find(|(mono, _)| !mono.is_one()) else { return Ok(None) };
        let (mono, value) = (mono.clone(), value.clone());
        let surd = Poly::term(value.clone(), mono);
        let Some(square) = self.times_poly(&surd, &surd)?.as_rational() else { return Ok(None) };
        let Some(d) = exact_square_root(&(a.clone() * &a - square)) else { return Ok(None) };
        let half = RBig::from_parts(1.into(), 2_u8.into());
        let (p, q) = ((a.clone() + &d) * &half, (a - d) * half);
        if is_negative(&p) || is_negative(&q) {
            return Ok(None);
        }
        let power = Exponent::new(1, 2)?;
        let first = self.number_root(&p, power)?;
        let second = self.number_root(&q, power)?;
        let second = if is_negative(&value) { Frac::poly(second.above.negated()) } else { second };
        Ok(Some(self.add(first, second)?))
    }

    /// `value ^ power` of a rational number that is not negative.
    fn number_root(&mut self, value: &RBig, power: Exponent) -> Step<Frac> {
        if value.is_zero() {
            return Ok(Frac::rational(RBig::ZERO));
        }
        if *value == RBig::ONE {
            return Ok(Frac::rational(RBig::ONE));
        }
        let factors = prime_factors(value, power, &mut self.fuel)?;
        let (value, mono, _) = self.settle(RBig::ONE, factors)?;
        Ok(Frac::poly(Poly::term(value, mono)))
    }

    /// (-1)^r: real for odd roots, else e^(i pi r).
    fn minus_one_power(&mut self, power: Exponent) -> Step<Frac> {
        if power.below % 2 == 1 {
            let sign = if power.above % 2 == 0 { RBig::ONE } else { -RBig::ONE };
            return Ok(Frac::rational(sign));
        }
        self.turn(power)
    }

    fn term_root(&mut self, mono: &Mono, value: &RBig, power: Exponent) -> Step<Frac> {
        if power.above < 0 {
            self.note_divisor(&Poly::term(value.clone(), mono.clone()))?;
        }
        let even = power.below % 2 == 0;
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        for factor in &mono.0 {
            if factor.base == Base::Imaginary {
                return Err(Stop::Unsupported("a root of a complex number"));
            }
            let positive = !even || is_positive(factor);
            if positive {
                known.push(Factor { power: factor.power.times(power)?, ..factor.clone() });
            } else {
                unknown.push(factor.clone());
            }
        }
        let mut result = self.number_root(&value.clone().abs(), power)?;
        let negative = is_negative(value);
        if unknown.is_empty() {
            if negative {
                let sign = self.minus_one_power(power)?;
                result = self.times(&result, &sign)?;
            }
        } else if let ([factor], false) = (unknown.as_slice(), negative)
            && factor.over.is_none()
            && factor.power.above % 2 != 0
        {
            known.push(Factor { power: factor.power.times(power)?, ..factor.clone() });
            known.sort();
        } else {
            let sign = if negative { -RBig::ONE } else { RBig::ONE };
            let group = self.group(Poly::term(sign, Mono(unknown)), power)?;
            result = self.times(&result, &group)?;
        }
        let (value, mono, groups) = self.settle(RBig::ONE, known)?;
        result = self.times(&result, &Frac::poly(Poly::term(value, mono)))?;
        for (group, whole) in groups {
            let group = self.integer_power(&group, whole)?;
            result = self.times(&result, &Frac::poly(group))?;
        }
        Ok(result)
    }

    /// e^(i pi r), with roots for multiples of 15 and of 36 degrees.
    pub(super) fn turn(&mut self, turns: Exponent) -> Step<Frac> {
        let negative = turns.floor().rem_euclid(2) == 1;
        let rest = turns.fraction();
        let scale = match rest.below {
            1 | 2 | 3 | 4 | 6 | 12 => 12 / rest.below,
            _ => 0,
        };
        let value = if scale == 0 {
            let over = Mono(vec![
                Factor { base: Base::Imaginary, over: None, power: Exponent::ONE },
                Factor { base: Base::Pi, over: None, power: Exponent::ONE },
            ]);
            let factor = Factor { base: Base::Euler, over: Some(Arc::new(over)), power: rest };
            Poly::term(RBig::ONE, Mono(vec![factor]))
        } else {
            let twelfth = rest.above * scale;
            let cosine = cosine_of_twelfth(twelfth);
            let sine = cosine_of_twelfth(6 - twelfth);
            let i = Poly::term(RBig::ONE, Mono::of(Base::Imaginary, Exponent::ONE));
            let imaginary = self.times_poly(&sine, &i)?;
            self.add_poly(cosine, imaginary)?
        };
        Ok(Frac::poly(if negative { value.negated() } else { value }))
    }
}

/// cos(k pi / 12) for any k.
pub(super) fn cosine_of_twelfth(k: i64) -> Poly {
    let k = k.rem_euclid(24);
    let k = if k > 12 { 24 - k } else { k };
    let (k, negative) = if k > 6 { (12 - k, true) } else { (k, false) };
    let half = Exponent { above: 1, below: 2 };
    let root = |primes: &[u64]| {
        Mono(primes.iter().map(|&p| Factor { base: Base::Prime(p), over: None, power: half }).collect())
    };
    let over = |above: i64, below: u8| RBig::from_parts(IBig::from(above), UBig::from(below));
    let poly = match k {
        0 => Poly::rational(RBig::ONE),
        1 => Poly([(root(&[2, 3]), over(1, 4)), (root(&[2]), over(1, 4))].into_iter().collect()),
        2 => Poly::term(over(1, 2), root(&[3])),
        3 => Poly::term(over(1, 2), root(&[2])),
        4 => Poly::rational(over(1, 2)),
        5 => Poly([(root(&[2, 3]), over(1, 4)), (root(&[2]), over(-1, 4))].into_iter().collect()),
        _ => Poly::default(),
    };
    if negative { poly.negated() } else { poly }
}

fn exact_square_root(value: &RBig) -> Option<RBig> {
    if is_negative(value) {
        return None;
    }
    let above = exact_root(&value.numerator().clone().unsigned_abs(), 2)?;
    let below = exact_root(value.denominator(), 2)?;
    Some(RBig::from_parts(IBig::from(above), below))
}
