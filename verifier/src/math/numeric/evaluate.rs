//! Evaluates canonical forms at fixed points, in any kind of interval.

use super::TAME;
use super::real::{Complex, Real};
use crate::math::ast::Function;
use crate::math::budget::{Fuel, Step, words};
use crate::math::formal::{BINOMIAL, Base, Exponent, FACTORIAL, Factor, Frac, Mono, Poly};
use dashu_float::ConstCache;
use dashu_int::IBig;
use dashu_ratio::RBig;
use std::cmp::Ordering;

/// Evaluates at one point; every variable has its own value there, fixed by its name.
pub(super) struct Evaluator<'f, R> {
    pub(super) bits: usize,
    pub(super) point: u64,
    pub(super) fuel: &'f mut Fuel,
    /// Pi and logarithms as far as they have been needed.
    constants: &'f mut ConstCache,
    /// Some part was too large or too small to compare at this precision.
    pub(super) wild: bool,
    /// Variables have whole values.
    pub(super) whole: bool,
    _real: std::marker::PhantomData<R>,
}

impl<'f, R: Real> Evaluator<'f, R> {
    pub(super) fn new(bits: usize, point: u64, fuel: &'f mut Fuel, constants: &'f mut ConstCache) -> Self {
        Evaluator { bits, point, fuel, constants, wild: false, whole: false, _real: std::marker::PhantomData }
    }

    pub(super) fn rational(&self, value: &RBig) -> Option<R> {
        R::rational(value, self.bits)
    }

    pub(super) fn one(&self) -> Option<R> {
        self.rational(&RBig::ONE)
    }

    pub(super) fn poly(&mut self, poly: &Poly) -> Step<Option<Complex<R>>> {
        let Some(mut sum) = self.rational(&RBig::ZERO).map(Complex::real) else { return Ok(None) };
        for (mono, value) in &poly.0 {
            self.fuel.take(R::light(self.bits) + words(value) as u64 / 16)?;
            let Some(term) = self.mono(mono)? else { return Ok(None) };
            let Some(scale) = self.rational(value) else { return Ok(None) };
            let Some(term) = term.times(&Complex::real(scale)) else { return Ok(None) };
            self.watch(&term);
            match sum.add(&term) {
                Some(next) => sum = next,
                None => return Ok(None),
            }
        }
        Ok(Some(sum))
    }

    fn watch(&mut self, value: &Complex<R>) {
        let size = value.log2_size();
        self.wild |= !(-TAME..=TAME).contains(&size);
    }

    pub(super) fn frac(&mut self, frac: &Frac) -> Step<Option<Complex<R>>> {
        let above = self.poly(&frac.above)?;
        let Some(below) = &frac.below else { return Ok(above) };
        let below = self.poly(below)?;
        Ok(above.zip(below).and_then(|(above, below)| above.times(&below.inverse()?)))
    }

    fn mono(&mut self, mono: &Mono) -> Step<Option<Complex<R>>> {
        let Some(mut product) = self.one().map(Complex::real) else { return Ok(None) };
        for factor in &mono.0 {
            let Some(value) = self.factor(factor)? else { return Ok(None) };
            self.watch(&value);
            match product.times(&value) {
                Some(next) => product = next,
                None => return Ok(None),
            }
        }
        Ok(Some(product))
    }

    fn factor(&mut self, factor: &Factor) -> Step<Option<Complex<R>>> {
        self.fuel.take(1 + R::light(self.bits))?;
        let Some(over) = &factor.over else {
            if factor.base == Base::Imaginary {
                return Ok(self.imaginary(factor.power));
            }
            let Some(base) = self.base(&factor.base)? else { return Ok(None) };
            return self.rational_power(base, factor.power);
        };
        let Some(exponent) = self.mono(over)? else { return Ok(None) };
        let Some(scale) = self.rational(&factor.power.to_rational()) else { return Ok(None) };
        let Some(mut exponent) = exponent.times(&Complex::real(scale)) else { return Ok(None) };
        self.fuel.take(2 * R::cost(self.bits))?;
        match &factor.base {
            Base::Euler => {}
            // The exponent stands for a whole number, which only some samples are.
            Base::MinusOne => {
                let whole = self.whole && factor.power.is_integer() && over.is_whole();
                return Ok(if whole { self.alternating(&exponent) } else { None });
            }
            base => {
                let Some(base) = self.base(base)? else { return Ok(None) };
                if base.im.is_some() {
                    return Ok(None);
                }
                let logarithm = base.re.ln(self.constants).and_then(|ln| exponent.times(&Complex::real(ln)));
                let Some(product) = logarithm else { return Ok(None) };
                exponent = product;
            }
        }
        Ok(exponent.exp(self.constants))
    }

    /// -1 to a power that is whole, known to less than one half.
    fn alternating(&self, exponent: &Complex<R>) -> Option<Complex<R>> {
        let (_, above) = exponent.re.floors().filter(|(low, high)| high - low <= 1)?;
        let sign = if above.rem_euclid(2) == 0 { RBig::ONE } else { -RBig::ONE };
        Some(Complex::real(self.rational(&sign)?))
    }

    pub(super) fn imaginary(&self, power: Exponent) -> Option<Complex<R>> {
        if power != Exponent::ONE {
            return None;
        }
        Some(Complex { re: self.rational(&RBig::ZERO)?, im: Some(self.one()?) })
    }

    fn rational_power(&mut self, base: Complex<R>, power: Exponent) -> Step<Option<Complex<R>>> {
        let whole = power.above.unsigned_abs();
        self.fuel.take(R::light(self.bits) * (u64::from(whole.ilog2()) + 1) / 2)?;
        let mut value = base;
        if power.below != 1 {
            if value.im.is_some() {
                return Ok(None);
            }
            let negative = value.re.sign() == Some(Ordering::Less);
            if negative && power.below % 2 == 0 {
                return Ok(None); // not a real number at this point
            }
            let size = if negative { value.re.negated() } else { value.re };
            self.fuel.take(R::light(self.bits) * 8)?;
            let Some(root) = size.root(power.below as usize) else { return Ok(None) };
            value = Complex::real(if negative { root.negated() } else { root });
        }
        let raised =
            if whole == 1 { Some(value) } else { self.one().and_then(|one| value.power(whole, one)) };
        Ok(if power.above < 0 { raised.and_then(|value| value.inverse()) } else { raised })
    }

    fn base(&mut self, base: &Base) -> Step<Option<Complex<R>>> {
        let real = |value: Option<R>| Ok(value.map(Complex::real));
        match base {
            Base::Prime(prime) => real(self.rational(&RBig::from(*prime))),
            Base::Cofactor(number) => real(self.rational(&RBig::from(number.clone()))),
            Base::Pi => {
                self.fuel.take(2 * R::light(self.bits))?;
                real(R::pi(self.bits, self.constants))
            }
            Base::Euler => {
                self.fuel.take(R::cost(self.bits))?;
                real(self.one().and_then(|one| one.exp(self.constants)))
            }
            Base::LnPrime(prime) => {
                self.fuel.take(R::cost(self.bits))?;
                real(self.rational(&RBig::from(*prime)).and_then(|value| value.ln(self.constants)))
            }
            Base::LogUnit => real(self.rational(&sample("log", self.point % 3))),
            Base::Symbol(name) if self.whole => real(self.rational(&whole_sample(name, self.point))),
            Base::Symbol(name) => real(self.rational(&sample(name, self.point))),
            Base::Group(group) => self.poly(group),
            Base::Call(Function::Named(name), arguments) => {
                let value = self.combinations(name, arguments)?;
                real(value.and_then(|value| self.rational(&RBig::from(value))))
            }
            Base::Call(function, arguments) => {
                let Some(argument) = arguments.first() else { return Ok(None) };
                let Some(value) = self.frac(argument)? else { return Ok(None) };
                if value.im.is_some() {
                    return Ok(None);
                }
                let cost = match function {
                    // Both ends are worked out.
                    Function::ArcSin | Function::ArcCos if self.is_inside(&value.re) => 3,
                    Function::ArcSin | Function::ArcCos => return Ok(None),
                    Function::Ln if value.re.sign() == Some(Ordering::Less) => return Ok(None),
                    Function::ArcTan => 3,
                    _ => 2,
                };
                self.fuel.take(cost * R::cost(self.bits))?;
                real(self.function(function, value.re))
            }
            Base::Imaginary | Base::MinusOne => Ok(None),
        }
    }

    /// Whether a value may lie between -1 and 1.
    fn is_inside(&self, value: &R) -> bool {
        let below = |x: Option<R>| x.is_none_or(|x| x.sign() == Some(Ordering::Less));
        let Some(one) = self.one() else { return false };
        !below(one.add(value)) && !below(one.add(&value.negated()))
    }

    /// A factorial or a binomial coefficient of small whole numbers.
    fn combinations(&mut self, name: &str, arguments: &[Frac]) -> Step<Option<u64>> {
        let mut numbers = Vec::with_capacity(2);
        for argument in arguments {
            if argument.below.is_some() || !argument.above.is_whole() {
                return Ok(None);
            }
            let Some(value) = self.poly(&argument.above)? else { return Ok(None) };
            // The value is whole, so it is the only whole number of its interval.
            let number = value.re.floors().filter(|(low, high)| high - low <= 1).map(|(_, high)| high);
            numbers.extend(number.and_then(|number| u64::try_from(number).ok()));
        }
        Ok(match (name, numbers.as_slice()) {
            (FACTORIAL, [n @ 0..=20]) => Some((1..=*n).product()),
            (BINOMIAL, [n @ 0..=40, k]) if k <= n => {
                Some((0..*k).fold(1, |value, at| value * (n - at) / (at + 1)))
            }
            (BINOMIAL, [0..=40, _]) => Some(0),
            _ => None,
        })
    }

    pub(super) fn function(&mut self, function: &Function, x: R) -> Option<R> {
        match function {
            Function::Ln => x.ln(self.constants),
            Function::Sin => Some(x.sin_cos(self.constants)?.0),
            Function::Cos => Some(x.sin_cos(self.constants)?.1),
            Function::Abs => match x.sign()? {
                Ordering::Less => Some(x.negated()),
                _ => Some(x),
            },
            Function::Floor | Function::Ceiling => {
                let up = *function == Function::Ceiling;
                let (low, high) = if up { x.negated().floors()? } else { x.floors()? };
                let value = if up { -low } else { low };
                if low == high { self.rational(&RBig::from(value)) } else { None }
            }
            Function::ArcSin | Function::ArcCos | Function::ArcTan => {
                x.inverse_function(function, self.constants)
            }
            _ => None,
        }
    }
}

/// The value of a variable at a point: small positive fractions, larger ones, then negative ones. Fixed for
/// ever, so a verdict can be repeated; odd denominators, so that no value makes a usual expression
/// degenerate.
fn sample(name: &str, point: u64) -> RBig {
    let step = (scramble(name, point) % 9973) as i64 + 1;
    let (low, width) = match point {
        0 => (1, 3),
        1 => (0, 1),
        2 => (4, 9),
        3 => (-1, 1),
        4 => (-8, 6),
        5 => (12, 60),
        6 => (-40, 30),
        _ => (0, 1),
    };
    RBig::from_parts(IBig::from(low * 9979 + width * step), 9979_u32.into())
}

/// The whole value of a variable at a point.
fn whole_sample(name: &str, point: u64) -> RBig {
    RBig::from(2 + scramble(name, point) % 9)
}

fn scramble(name: &str, point: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ point.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^= hash >> 32;
    hash
}
