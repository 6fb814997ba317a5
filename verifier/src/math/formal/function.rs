//! Functions of canonical forms: trigonometry by exponentials, logarithms by primes, absolute values by sign.

use super::Formal;
use super::form::{Base, Exponent, Frac, Mono, Poly, atom, is_negative, is_positive, mono_factors, opaque};
use super::primes::{content, prime_factors};
use super::root::cosine_of_twelfth;
use crate::math::ast::{Ast, Function};
use crate::math::budget::{Step, Stop};
use dashu_int::IBig;
use dashu_int::ops::Abs;
use dashu_ratio::RBig;
use std::cmp::Ordering;
use std::sync::Arc;

impl<'b> Formal<'b> {
    pub(super) fn call(&mut self, function: &Function, arguments: &[Ast]) -> Step<Frac> {
        use Function::*;
        if function.is_task() {
            return self.task(function, arguments);
        }
        let before = self.in_angle;
        self.in_angle = match function {
            Sin | Cos | Tan | Cot | Sec | Csc => true,
            Named(_) => before,
            _ => false,
        };
        let values = arguments.iter().map(|argument| self.value(argument)).collect::<Step<Vec<Frac>>>();
        self.in_angle = before;
        let values = values?;
        let x = values.first().ok_or(Stop::Unsupported("a function without an argument"))?;
        match function {
            Sin => self.sine(x),
            Cos => self.cosine(x),
            Tan => {
                let (sine, cosine) = (self.sine(x)?, self.cosine(x)?);
                self.divide(&sine, &cosine)
            }
            Cot => {
                let (sine, cosine) = (self.sine(x)?, self.cosine(x)?);
                self.divide(&cosine, &sine)
            }
            Sec => {
                let cosine = self.cosine(x)?;
                self.divide(&Frac::rational(RBig::ONE), &cosine)
            }
            Csc => {
                let sine = self.sine(x)?;
                self.divide(&Frac::rational(RBig::ONE), &sine)
            }
            Sinh | Cosh | Tanh => self.hyperbolic(function, x),
            ArcSin | ArcCos | ArcTan => self.inverse(function, x),
            Exp => self.power(&atom(Base::Euler), x),
            Ln => self.logarithm(x),
            Log => {
                let value = self.logarithm(x)?;
                self.divide(&value, &atom(Base::LogUnit))
            }
            LogBase => {
                let base = self.logarithm(x)?;
                let value = self
                    .logarithm(values.get(1).ok_or(Stop::Unsupported("a function without an argument"))?)?;
                if base.above.is_zero() {
                    return Err(Stop::Undefined("a logarithm to base 1"));
                }
                self.divide(&value, &base)
            }
            Abs => self.absolute(x),
            Floor | Ceiling => self.rounded(function, x),
            Binomial => {
                let below = values.get(1).ok_or(Stop::Unsupported("a function without an argument"))?;
                self.binomial(x, below)
            }
            Determinant | GreatestDivisor | LeastMultiple | Largest | Smallest | Remainder => {
                self.task(function, arguments)
            }
            Named(_) => Ok(atom(Base::Call(function.clone(), Arc::new(values)))),
        }
    }

    /// e^(i x) and e^(-i x); `None` where x has a sum in its denominator.
    fn turns_by(&mut self, x: &Frac) -> Step<Option<(Frac, Frac)>> {
        if x.below.is_some() {
            return Ok(None);
        }
        let i = atom(Base::Imaginary);
        let angle = self.times(x, &i)?;
        let forward = self.power(&atom(Base::Euler), &angle)?;
        let back = Frac { above: angle.above.negated(), below: None };
        let backward = self.power(&atom(Base::Euler), &back)?;
        Ok(Some((forward, backward)))
    }

    pub(super) fn sine(&mut self, x: &Frac) -> Step<Frac> {
        let Some((forward, backward)) = self.turns_by(x)? else { return Ok(opaque(Function::Sin, x)) };
        let sum = self.minus(&forward, &backward)?;
        let half = Frac::poly(Poly::term(
            RBig::from_parts((-1).into(), 2_u8.into()),
            Mono::of(Base::Imaginary, Exponent::ONE),
        ));
        self.times(&sum, &half)
    }

    pub(super) fn cosine(&mut self, x: &Frac) -> Step<Frac> {
        let Some((forward, backward)) = self.turns_by(x)? else { return Ok(opaque(Function::Cos, x)) };
        let sum = self.add(forward, backward)?;
        self.times(&sum, &Frac::rational(RBig::from_parts(1.into(), 2_u8.into())))
    }

    fn hyperbolic(&mut self, function: &Function, x: &Frac) -> Step<Frac> {
        let forward = self.power(&atom(Base::Euler), x)?;
        let negative = Frac { above: x.above.negated(), below: x.below.clone() };
        let backward = self.power(&atom(Base::Euler), &negative)?;
        let half = Frac::rational(RBig::from_parts(1.into(), 2_u8.into()));
        let difference = self.minus(&forward, &backward)?;
        let sum = self.add(forward, backward)?;
        match function {
            Function::Sinh => self.times(&difference, &half),
            Function::Cosh => self.times(&sum, &half),
            _ => self.divide(&difference, &sum),
        }
    }

    /// Inverse functions at the sines, cosines and tangents of multiples of 15 degrees.
    pub(super) fn inverse(&mut self, function: &Function, x: &Frac) -> Step<Frac> {
        if !x.is_constant() || x.above.0.len() > 2 {
            return Ok(opaque(function.clone(), x));
        }
        let range = match function {
            Function::ArcCos => 0..=12,
            Function::ArcSin => -6..=6,
            _ => -5..=5,
        };
        for twelfth in range {
            let angle = Poly::term(
                RBig::from_parts(IBig::from(twelfth), 12_u8.into()),
                Mono::of(Base::Pi, Exponent::ONE),
            );
            let angle = Frac::poly(angle);
            let candidate = match function {
                Function::ArcCos => Frac::poly(cosine_of_twelfth(twelfth)),
                Function::ArcSin => Frac::poly(cosine_of_twelfth(6 - twelfth)),
                _ => {
                    let sine = Frac::poly(cosine_of_twelfth(6 - twelfth));
                    self.divide(&sine, &Frac::poly(cosine_of_twelfth(twelfth)))?
                }
            };
            if self.difference(&candidate, x)?.is_zero() {
                return Ok(angle);
            }
        }
        Ok(opaque(function.clone(), x))
    }

    fn logarithm(&mut self, x: &Frac) -> Step<Frac> {
        if x.above.is_zero() {
            return Err(Stop::Undefined("the logarithm of zero"));
        }
        if let Some(below) = &x.below {
            let above = self.logarithm(&Frac::poly(x.above.clone()))?;
            let below = self.logarithm(&Frac::poly(below.clone()))?;
            return self.minus(&above, &below);
        }
        let Some((mono, value)) = x.above.single() else {
            let content = content(&x.above);
            let rest = x.above.scaled(&(RBig::ONE / content.clone()));
            let number = self.logarithm_of_number(&content, Exponent::ONE)?;
            return self.add(number, opaque(Function::Ln, &Frac::poly(rest)));
        };
        if is_negative(value) && mono.0.iter().all(is_positive) {
            return Err(Stop::Unsupported("the logarithm of a negative number"));
        }
        let (mono, value) = (mono.clone(), value.clone());
        let mut sum = self.logarithm_of_number(&value.clone().abs(), Exponent::ONE)?;
        let mut unknown = Vec::new();
        for factor in mono.0 {
            let part = match (&factor.base, &factor.over) {
                (Base::Euler, over) => {
                    let exponent = over.as_ref().map_or_else(Mono::default, |over| (**over).clone());
                    if !mono_factors(&exponent, &mut |inner| inner.base != Base::Imaginary) {
                        return Err(Stop::Unsupported("the logarithm of a complex number"));
                    }
                    Frac::poly(Poly::term(factor.power.to_rational(), exponent))
                }
                (Base::Prime(prime), None) => self.logarithm_of_number(&RBig::from(*prime), factor.power)?,
                (Base::Prime(prime), Some(over)) => {
                    let number = self.logarithm_of_number(&RBig::from(*prime), factor.power)?;
                    self.times(&number, &Frac::poly(Poly::term(RBig::ONE, (**over).clone())))?
                }
                (Base::Pi | Base::LnPrime(_), None) => {
                    let base =
                        Frac::poly(Poly::term(RBig::ONE, Mono::of(factor.base.clone(), Exponent::ONE)));
                    let part = opaque(Function::Ln, &base);
                    self.times(&part, &Frac::rational(factor.power.to_rational()))?
                }
                (Base::Imaginary, _) => return Err(Stop::Unsupported("the logarithm of a complex number")),
                (Base::Group(_), None) if factor.power.below % 2 == 0 => {
                    let base =
                        Frac::poly(Poly::term(RBig::ONE, Mono::of(factor.base.clone(), Exponent::ONE)));
                    let inside = match &factor.base {
                        Base::Group(group) => self.logarithm(&Frac::poly((**group).clone()))?,
                        _ => base,
                    };
                    self.times(&inside, &Frac::rational(factor.power.to_rational()))?
                }
                _ => {
                    unknown.push(factor);
                    continue;
                }
            };
            sum = self.add(sum, part)?;
        }
        let sign = if is_negative(&value) { -RBig::ONE } else { RBig::ONE };
        if let ([factor], false) = (unknown.as_slice(), is_negative(&value))
            && factor.over.is_none()
            && factor.power.above % 2 != 0
        {
            let base = Frac::poly(Poly::term(RBig::ONE, Mono::of(factor.base.clone(), Exponent::ONE)));
            let part =
                self.times(&opaque(Function::Ln, &base), &Frac::rational(factor.power.to_rational()))?;
            sum = self.add(sum, part)?;
        } else if !unknown.is_empty() {
            sum = self.add(sum, opaque(Function::Ln, &Frac::poly(Poly::term(sign, Mono(unknown)))))?;
        }
        Ok(sum)
    }

    fn logarithm_of_number(&mut self, value: &RBig, power: Exponent) -> Step<Frac> {
        let mut sum = Poly::default();
        if *value != RBig::ONE {
            for factor in prime_factors(value, power, &mut self.fuel)? {
                let mono = match &factor.base {
                    Base::Prime(prime) => Mono::of(Base::LnPrime(*prime), Exponent::ONE),
                    Base::Cofactor(number) => {
                        let argument = Frac::rational(RBig::from(number.clone()));
                        Mono::of(Base::Call(Function::Ln, Arc::new(vec![argument])), Exponent::ONE)
                    }
                    _ => continue,
                };
                self.add_term(&mut sum, mono, factor.power.to_rational())?;
            }
        }
        Ok(Frac::poly(sum))
    }

    fn absolute(&mut self, x: &Frac) -> Step<Frac> {
        if x.is_constant() {
            if x.below.is_none() && x.above.has_imaginary() {
                let conjugate =
                    self.conjugate(&x.above).ok_or(Stop::Unsupported("the absolute value of this number"))?;
                if conjugate != x.above {
                    let square = self.times_poly(&x.above, &conjugate)?;
                    return self.rational_power(&Frac::poly(square), Exponent::new(1, 2)?);
                }
            }
            let above = self.sign(&x.above)?;
            let below = match &x.below {
                Some(below) => self.sign(below)?,
                None => Ordering::Greater,
            };
            if above != Ordering::Equal && below != Ordering::Equal {
                let negative = above != below;
                let above = if negative { x.above.negated() } else { x.above.clone() };
                return Ok(Frac { above, below: x.below.clone() });
            }
            return if x.above.is_zero() { Ok(x.clone()) } else { Err(Stop::Limit("precision")) };
        }
        if x.below.is_some() {
            return Ok(opaque(Function::Abs, x));
        }
        let content = content(&x.above);
        let lead_negative = x.above.0.values().next_back().is_some_and(is_negative);
        let scale = if lead_negative { -(RBig::ONE / content.clone()) } else { RBig::ONE / content.clone() };
        let rest = opaque(Function::Abs, &Frac::poly(x.above.scaled(&scale)));
        self.times(&rest, &Frac::rational(content))
    }

    fn rounded(&mut self, function: &Function, x: &Frac) -> Step<Frac> {
        match x.as_rational() {
            Some(value) => {
                let whole = if *function == Function::Floor { value.floor() } else { value.ceil() };
                Ok(Frac::rational(RBig::from(whole)))
            }
            None => Ok(opaque(function.clone(), x)),
        }
    }
}
