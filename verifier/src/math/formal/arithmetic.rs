//! Sums, products and quotients of canonical forms. Each step keeps the form canonical: equal rational
//! functions of independent atoms have a difference without terms.

use super::form::{Base, Exponent, Factor, Frac, Mono, Poly, is_i_pi, is_negative, reduced};
use super::primes::prime_factors;
use super::{Formal, Settled};
use crate::math::budget::{Step, Stop, size_cost, words};
use dashu_int::UBig;
use dashu_int::ops::BitTest;
use dashu_ratio::RBig;
use std::cmp::Ordering;

impl<'b> Formal<'b> {
    fn sized(&self, value: &RBig) -> Step<()> {
        let bits = self.budget.bits;
        if value.numerator().bit_len() > bits || value.denominator().bit_len() > bits {
            return Err(Stop::Limit("size of an exact number"));
        }
        Ok(())
    }

    pub(super) fn add_term(&mut self, poly: &mut Poly, mono: Mono, value: RBig) -> Step<()> {
        use std::collections::btree_map::Entry;
        match poly.0.entry(mono) {
            Entry::Vacant(entry) => {
                if !value.is_zero() {
                    entry.insert(value);
                }
            }
            Entry::Occupied(mut entry) => {
                self.fuel.take(size_cost(words(entry.get()), words(&value)))?;
                *entry.get_mut() += value;
                self.sized(entry.get())?;
                if entry.get().is_zero() {
                    entry.remove();
                }
            }
        }
        if poly.0.len() > self.budget.terms { Err(Stop::Limit("terms of a sum")) } else { Ok(()) }
    }

    pub(super) fn add_poly(&mut self, mut a: Poly, b: Poly) -> Step<Poly> {
        self.fuel.take(b.0.len() as u64 / 4)?;
        if a.0.len() < b.0.len() {
            return self.add_poly_into(b, a);
        }
        for (mono, value) in b.0 {
            self.add_term(&mut a, mono, value)?;
        }
        Ok(a)
    }

    fn add_poly_into(&mut self, mut large: Poly, small: Poly) -> Step<Poly> {
        for (mono, value) in small.0 {
            self.add_term(&mut large, mono, value)?;
        }
        Ok(large)
    }

    pub(super) fn add(&mut self, a: Frac, b: Frac) -> Step<Frac> {
        if a.below == b.below {
            let above = self.add_poly(a.above, b.above)?;
            return Ok(reduced(above, a.below));
        }
        let left = self.times_optional(&a.above, b.below.as_ref())?;
        let right = self.times_optional(&b.above, a.below.as_ref())?;
        let above = self.add_poly(left, right)?;
        let below = match (a.below, b.below) {
            (Some(a), Some(b)) => Some(self.times_poly(&a, &b)?),
            (a, b) => a.or(b),
        };
        self.ratio(above, below)
    }

    fn times_optional(&mut self, a: &Poly, b: Option<&Poly>) -> Step<Poly> {
        match b {
            Some(b) => self.times_poly(a, b),
            None => {
                self.fuel.take(a.0.len() as u64 / 4)?;
                Ok(a.clone())
            }
        }
    }

    pub(crate) fn times_poly(&mut self, a: &Poly, b: &Poly) -> Step<Poly> {
        let mut product = Poly::default();
        for (left, x) in &a.0 {
            self.fuel.take(b.0.len() as u64)?;
            for (right, y) in &b.0 {
                self.add_product(&mut product, (left, x), (right, y), false)?;
            }
        }
        Ok(product)
    }

    /// The square of a sum, each pair of terms multiplied once.
    pub(super) fn square(&mut self, a: &Poly) -> Step<Poly> {
        let mut product = Poly::default();
        for (at, (left, x)) in a.0.iter().enumerate() {
            self.fuel.take((a.0.len() - at) as u64)?;
            self.add_product(&mut product, (left, x), (left, x), false)?;
            for (right, y) in a.0.iter().skip(at + 1) {
                self.add_product(&mut product, (left, x), (right, y), true)?;
            }
        }
        Ok(product)
    }

    /// Adds the product of two terms, or twice that.
    fn add_product(
        &mut self,
        sum: &mut Poly,
        (left, x): (&Mono, &RBig),
        (right, y): (&Mono, &RBig),
        twice: bool,
    ) -> Step<()> {
        self.fuel.take(size_cost(words(x), words(y)))?;
        let value = if twice { x * y * RBig::from(2) } else { x * y };
        let (value, mono, groups) = self.times_mono(left, right, value)?;
        self.sized(&value)?;
        if groups.is_empty() {
            return self.add_term(sum, mono, value);
        }
        let mut extra = Poly::term(value, mono);
        for (group, power) in groups {
            let group = self.integer_power(&group, power)?;
            extra = self.times_poly(&extra, &group)?;
        }
        *sum = self.add_poly(std::mem::take(sum), extra)?;
        Ok(())
    }

    /// The product of two products: its rational part, its atoms, and whole powers of groups to multiply out.
    pub(super) fn times_mono(&mut self, a: &Mono, b: &Mono, value: RBig) -> Step<Settled> {
        if b.is_one() {
            return Ok((value, a.clone(), Vec::new()));
        }
        if a.is_one() {
            return Ok((value, b.clone(), Vec::new()));
        }
        self.fuel.take((a.0.len() + b.0.len()) as u64 / 8)?;
        let mut factors: Vec<Factor> = Vec::with_capacity(a.0.len() + b.0.len());
        let (mut left, mut right) = (a.0.iter().peekable(), b.0.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some(x), Some(y)) => (&x.base, &x.over).cmp(&(&y.base, &y.over)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            match order {
                Ordering::Less => factors.extend(left.next().cloned()),
                Ordering::Greater => factors.extend(right.next().cloned()),
                Ordering::Equal => {
                    if let (Some(x), Some(y)) = (left.next(), right.next()) {
                        let power = x.power.add(y.power)?;
                        factors.push(Factor { base: x.base.clone(), over: x.over.clone(), power });
                    }
                }
            }
        }
        self.settle(value, factors)
    }

    /// Brings merged factors to canonical form: no zero powers, i to the first power at most, roots of sums
    /// below the first power, and whole powers of primes either all in the coefficient or, where that would
    /// be too long a number, all (those of the coefficient too) in the factors.
    pub(super) fn settle(&mut self, mut value: RBig, mut factors: Vec<Factor>) -> Step<Settled> {
        let mut groups = Vec::new();
        let mut whole_bits = 0.0;
        for factor in &mut factors {
            match &factor.base {
                Base::Imaginary if factor.over.is_none() && factor.power.is_integer() => {
                    let quarter = factor.power.above.rem_euclid(4);
                    if quarter >= 2 {
                        value = -value;
                    }
                    factor.power.above = quarter % 2;
                }
                Base::Group(group) if factor.over.is_none() && factor.power.floor() > 0 => {
                    groups.push((group.clone(), factor.power.floor() as u64));
                    factor.power = factor.power.fraction();
                }
                // By convention a symbolic exponent of -1 is a whole number.
                Base::MinusOne => {
                    let two = 2 * factor.power.below;
                    factor.power = Exponent::new(factor.power.above.rem_euclid(two), factor.power.below)?;
                }
                Base::Euler if is_i_pi(factor.over.as_deref()) => {
                    // e^(i pi r): r modulo 2 into [0, 1) with the sign outside, e^(i pi / 2) = i below.
                    let turns = Exponent::new(
                        factor.power.above.rem_euclid(2 * factor.power.below),
                        factor.power.below,
                    )?;
                    if turns.floor() == 1 {
                        value = -value;
                    }
                    factor.power = turns.fraction();
                }
                Base::Prime(prime) if factor.over.is_none() => {
                    whole_bits += factor.power.floor().unsigned_abs() as f64 * (*prime as f64).log2();
                }
                Base::Cofactor(number) if factor.over.is_none() => {
                    whole_bits += factor.power.floor().unsigned_abs() as f64 * number.bit_len() as f64;
                }
                _ => {}
            }
        }
        factors.retain(|factor| !factor.power.is_zero());
        if whole_bits > 0.0 {
            let held = (value.numerator().bit_len() + value.denominator().bit_len()) as f64;
            if whole_bits + held <= self.budget.bits as f64 {
                for factor in &mut factors {
                    let number = match &factor.base {
                        Base::Prime(prime) if factor.over.is_none() => UBig::from(*prime),
                        Base::Cofactor(number) if factor.over.is_none() => number.clone(),
                        _ => continue,
                    };
                    let whole = factor.power.floor();
                    let power = RBig::from(number.pow(whole.unsigned_abs() as usize));
                    self.fuel.take(size_cost(words(&value), words(&power)))?;
                    value = if whole >= 0 { value * power } else { value / power };
                    factor.power = factor.power.fraction();
                }
                factors.retain(|factor| !factor.power.is_zero());
            } else if value != RBig::ONE && value != -RBig::ONE {
                let sign = if is_negative(&value) { -RBig::ONE } else { RBig::ONE };
                let extra = prime_factors(&value, Exponent::ONE, &mut self.fuel)?;
                return self.times_mono(&Mono(factors), &Mono(extra), sign);
            }
        }
        Ok((value, Mono(factors), groups))
    }

    pub(crate) fn times(&mut self, a: &Frac, b: &Frac) -> Step<Frac> {
        let above = self.times_poly(&a.above, &b.above)?;
        let below = match (&a.below, &b.below) {
            (Some(a), Some(b)) => Some(self.times_poly(a, b)?),
            (a, b) => a.clone().or(b.clone()),
        };
        self.ratio(above, below)
    }

    /// `above / below` with a one-term divisor moved into the dividend and the leading coefficient of a
    /// longer one made 1.
    pub(super) fn ratio(&mut self, above: Poly, below: Option<Poly>) -> Step<Frac> {
        let Some(below) = below else { return Ok(Frac::poly(above)) };
        if above.is_zero() {
            return Ok(Frac::poly(above));
        }
        if above == below {
            return Ok(Frac::rational(RBig::ONE));
        }
        if let Some((mono, value)) = below.single() {
            let (inverse, rest) = self.inverse_term(mono, value)?;
            let above = self.times_poly(&above, &inverse)?;
            return match rest {
                None => Ok(Frac::poly(above)),
                Some(rest) => self.ratio(above, Some(rest)),
            };
        }
        let Some(lead) = below.0.values().next_back() else {
            return Err(Stop::Undefined("division by zero"));
        };
        let scale = RBig::ONE / lead.clone();
        Ok(Frac { above: above.scaled(&scale), below: Some(below.scaled(&scale)) })
    }

    /// `1 / (value * mono)` as a term, and the sum that stays below where a root of a sum was inverted:
    /// 1/sqrt(P) = sqrt(P)/P.
    fn inverse_term(&mut self, mono: &Mono, value: &RBig) -> Step<(Poly, Option<Poly>)> {
        let mut factors = Vec::with_capacity(mono.0.len());
        let mut below: Option<Poly> = None;
        for factor in &mono.0 {
            let power = factor.power.negated();
            if let (Base::Group(group), None) = (&factor.base, &factor.over) {
                factors.push(Factor { power: power.fraction(), ..factor.clone() });
                let outside = self.integer_power(group, power.floor().unsigned_abs())?;
                below = Some(match below {
                    None => outside,
                    Some(below) => self.times_poly(&below, &outside)?,
                });
            } else {
                factors.push(Factor { power, ..factor.clone() });
            }
        }
        let (value, mono, _) = self.settle(RBig::ONE / value.clone(), factors)?;
        Ok((Poly::term(value, mono), below))
    }

    pub(crate) fn divide(&mut self, a: &Frac, b: &Frac) -> Step<Frac> {
        if b.above.is_zero() {
            return Err(Stop::Undefined("division by zero"));
        }
        self.note_divisor(&b.above)?;
        let above = self.times_optional(&a.above, b.below.as_ref())?;
        let below = match &a.below {
            Some(below) => self.times_poly(below, &b.above)?,
            None => b.above.clone(),
        };
        self.ratio(above, Some(below))
    }

    pub(super) fn note_divisor(&mut self, divisor: &Poly) -> Step<()> {
        self.fuel.take((self.divisors.len() + divisor.0.len()) as u64 / 8)?;
        if !divisor.is_independent() && !self.divisors.contains(divisor) {
            self.divisors.push(divisor.clone());
        }
        Ok(())
    }

    /// `a - b`, zero exactly where the canonical forms agree (dividends over a common divisor).
    pub(crate) fn difference(&mut self, a: &Frac, b: &Frac) -> Step<Poly> {
        let left = self.times_optional(&a.above, b.below.as_ref())?;
        let right = self.times_optional(&b.above, a.below.as_ref())?;
        self.add_poly(left, right.negated())
    }

    pub(crate) fn minus(&mut self, a: &Frac, b: &Frac) -> Step<Frac> {
        self.add(a.clone(), Frac { above: b.above.negated(), below: b.below.clone() })
    }
}
