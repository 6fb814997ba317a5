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

use super::ast::Function;
use super::budget::{Fuel, Step, Stop};
use super::formal::{BINOMIAL, Base, Exponent, FACTORIAL, Factor, Frac, Mono, Poly};
use dashu_float::round::mode::{Down, Up};
use dashu_float::{Context, FpResult, Repr};
use dashu_int::IBig;
use dashu_int::ops::BitTest;
use dashu_ratio::RBig;
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
/// A value that is this small at `BITS` bits counts as vanished.
const VANISHED: i64 = -400;
/// Parts must lie within 2^-64 .. 2^64 for an agreement to mean anything.
const TAME: i64 = 64;
pub(crate) const POINTS: u64 = 8;

/// The sign of a real constant that is not the canonical zero.
pub(crate) fn sign(poly: &Poly, fuel: &mut Fuel) -> Step<Ordering> {
    let mut unclear = Err(Stop::Limit("precision"));
    if let Some(value) = Evaluator::<Float>::new(0, 0, fuel).poly(poly)? {
        match value.re.sign() {
            Some(order) if order != Ordering::Equal => return Ok(order),
            _ => {}
        }
    }
    for bits in [128, BITS] {
        match Evaluator::<Big>::new(bits, 0, fuel).poly(poly)? {
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
    if poly.has_factorial() {
        return among_whole_numbers(poly, fuel);
    }
    let points = if poly.is_constant() { 1 } else { POINTS };
    for point in 0..points {
        if let Some(value) = Evaluator::<Float>::new(0, point, fuel).poly(poly)?
            && value.is_nonzero()
        {
            return Ok(Finding::NonZero);
        }
    }
    for bits in [128, BITS] {
        let (mut vanished, mut tame) = (0, true);
        for point in 0..points {
            if vanished == 3 && bits == BITS {
                break;
            }
            let mut evaluator = Evaluator::<Big>::new(bits, point, fuel);
            let Some(value) = evaluator.poly(poly)? else { continue };
            tame &= !evaluator.wild;
            if value.is_nonzero() {
                return Ok(Finding::NonZero);
            }
            vanished += u64::from(value.log2_size() < VANISHED);
        }
        if bits == BITS && tame && vanished >= points.min(3) {
            return Ok(Finding::Vanishes(BITS as u32));
        }
    }
    Ok(Finding::Unknown)
}

/// Factorials have values where their arguments are whole. A difference there is proven; agreement at a few whole
/// numbers says little, so it is never taken for equality.
fn among_whole_numbers(poly: &Poly, fuel: &mut Fuel) -> Step<Finding> {
    for point in 0..POINTS {
        let mut evaluator = Evaluator::<Float>::new(0, point, fuel);
        evaluator.whole = true;
        if evaluator.poly(poly)?.is_some_and(|value| value.is_nonzero()) {
            return Ok(Finding::NonZero);
        }
    }
    Ok(Finding::Unknown)
}

/// The sign of a real value at one of the points, where it is clear there.
pub(crate) fn sign_at(value: &Frac, point: u64, fuel: &mut Fuel) -> Step<Option<Ordering>> {
    let found = Evaluator::<Float>::new(0, point, fuel).frac(value)?;
    Ok(found.filter(|found| found.im.is_none()).and_then(|found| found.re.sign()))
}

/// A real constant to about nine digits.
pub(crate) fn approximate(value: &Frac, fuel: &mut Fuel) -> Option<f64> {
    let found = Evaluator::<Float>::new(0, 0, fuel).frac(value).ok()??;
    let (low, high) = (found.re.low, found.re.high);
    let constant = value.above.is_constant() && value.below.as_ref().is_none_or(Poly::is_constant);
    let narrow = high - low <= 1e-9 * low.abs().max(high.abs()).max(f64::MIN_POSITIVE);
    (constant && narrow && found.im.is_none()).then_some(low + (high - low) / 2.0)
}

/// Whether a divisor is proven to be different from zero somewhere.
pub(crate) fn is_nonzero(poly: &Poly, fuel: &mut Fuel) -> Step<bool> {
    Ok(vanishes(poly, fuel)? == Finding::NonZero)
}

/// A real interval of some precision. `None` from an operation: not defined, or not representable.
trait Real: Clone {
    fn rational(value: &RBig, bits: usize) -> Option<Self>;
    fn pi(bits: usize) -> Option<Self>;
    fn add(&self, other: &Self) -> Option<Self>;
    fn negated(&self) -> Self;
    fn times(&self, other: &Self) -> Option<Self>;
    fn inverse(&self) -> Option<Self>;
    /// The n-th root of an interval above zero.
    fn root(&self, n: usize) -> Option<Self>;
    fn exp(&self) -> Option<Self>;
    fn ln(&self) -> Option<Self>;
    fn sin_cos(&self) -> Option<(Self, Self)>;
    fn inverse_function(&self, function: &Function) -> Option<Self>;
    /// The sign, where the whole interval has one.
    fn sign(&self) -> Option<Ordering>;
    /// Floors of both ends.
    fn floors(&self) -> Option<(i64, i64)>;
    /// An upper bound of log2 |x|.
    fn log2_size(&self) -> i64;
    /// What an elementary function costs in fuel.
    fn cost(bits: usize) -> u64;
}

/// A complex number; no imaginary part means exactly real.
#[derive(Clone)]
struct Complex<R> {
    re: R,
    im: Option<R>,
}

impl<R: Real> Complex<R> {
    fn real(re: R) -> Complex<R> {
        Complex { re, im: None }
    }

    fn is_nonzero(&self) -> bool {
        let apart = |part: &R| part.sign().is_some_and(|order| order != Ordering::Equal);
        apart(&self.re) || self.im.as_ref().is_some_and(apart)
    }

    fn log2_size(&self) -> i64 {
        self.im.as_ref().map_or(i64::MIN, R::log2_size).max(self.re.log2_size())
    }

    fn add(&self, other: &Self) -> Option<Self> {
        let im = match (&self.im, &other.im) {
            (Some(a), Some(b)) => Some(a.add(b)?),
            (a, b) => a.clone().or(b.clone()),
        };
        Some(Complex { re: self.re.add(&other.re)?, im })
    }

    fn times(&self, other: &Self) -> Option<Self> {
        let re = self.re.times(&other.re)?;
        Some(match (&self.im, &other.im) {
            (None, None) => Complex::real(re),
            (Some(a), None) => Complex { re, im: Some(a.times(&other.re)?) },
            (None, Some(b)) => Complex { re, im: Some(self.re.times(b)?) },
            (Some(a), Some(b)) => Complex {
                re: re.add(&a.times(b)?.negated())?,
                im: Some(self.re.times(b)?.add(&a.times(&other.re)?)?),
            },
        })
    }

    fn inverse(&self) -> Option<Self> {
        let Some(im) = &self.im else { return Some(Complex::real(self.re.inverse()?)) };
        let size = self.re.times(&self.re)?.add(&im.times(im)?)?.inverse()?;
        Some(Complex { re: self.re.times(&size)?, im: Some(im.negated().times(&size)?) })
    }

    fn exp(&self) -> Option<Self> {
        let size = self.re.exp()?;
        let Some(im) = &self.im else { return Some(Complex::real(size)) };
        let (sine, cosine) = im.sin_cos()?;
        Some(Complex { re: size.times(&cosine)?, im: Some(size.times(&sine)?) })
    }

    fn power(&self, mut power: u64, one: R) -> Option<Self> {
        let mut result = Complex::real(one);
        let mut square = self.clone();
        while power > 0 {
            if power & 1 == 1 {
                result = result.times(&square)?;
            }
            power >>= 1;
            if power > 0 {
                square = square.times(&square)?;
            }
        }
        Some(result)
    }
}

/// Evaluates at one point; every variable has its own value there, fixed by its name.
struct Evaluator<'f, R> {
    bits: usize,
    point: u64,
    fuel: &'f mut Fuel,
    /// Some part was too large or too small to compare at this precision.
    wild: bool,
    /// Variables have whole values.
    whole: bool,
    _real: std::marker::PhantomData<R>,
}

impl<'f, R: Real> Evaluator<'f, R> {
    fn new(bits: usize, point: u64, fuel: &'f mut Fuel) -> Self {
        Evaluator { bits, point, fuel, wild: false, whole: false, _real: std::marker::PhantomData }
    }

    fn rational(&self, value: &RBig) -> Option<R> {
        R::rational(value, self.bits)
    }

    fn one(&self) -> Option<R> {
        self.rational(&RBig::ONE)
    }

    fn poly(&mut self, poly: &Poly) -> Step<Option<Complex<R>>> {
        let Some(mut sum) = self.rational(&RBig::ZERO).map(Complex::real) else { return Ok(None) };
        for (mono, value) in &poly.0 {
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

    fn frac(&mut self, frac: &Frac) -> Step<Option<Complex<R>>> {
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
        self.fuel.take(1)?;
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
            // The exponent stands for a whole number, which a sample is not.
            Base::MinusOne => return Ok(None),
            base => {
                let Some(base) = self.base(base)? else { return Ok(None) };
                if base.im.is_some() {
                    return Ok(None);
                }
                let logarithm = base.re.ln().and_then(|ln| exponent.times(&Complex::real(ln)));
                let Some(product) = logarithm else { return Ok(None) };
                exponent = product;
            }
        }
        Ok(exponent.exp())
    }

    fn imaginary(&self, power: Exponent) -> Option<Complex<R>> {
        if power != Exponent::ONE {
            return None;
        }
        Some(Complex { re: self.rational(&RBig::ZERO)?, im: Some(self.one()?) })
    }

    fn rational_power(&mut self, base: Complex<R>, power: Exponent) -> Step<Option<Complex<R>>> {
        let whole = power.above.unsigned_abs();
        self.fuel.take(u64::from(whole.ilog2()) + 1)?;
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
            Base::Pi => real(R::pi(self.bits)),
            Base::Euler => {
                self.fuel.take(R::cost(self.bits))?;
                real(self.one().and_then(|one| one.exp()))
            }
            Base::LnPrime(prime) => {
                self.fuel.take(R::cost(self.bits))?;
                real(self.rational(&RBig::from(*prime)).and_then(|value| value.ln()))
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
                self.fuel.take(2 * R::cost(self.bits))?;
                real(self.function(function, value.re))
            }
            Base::Imaginary | Base::MinusOne => Ok(None),
        }
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

    fn function(&self, function: &Function, x: R) -> Option<R> {
        match function {
            Function::Ln => x.ln(),
            Function::Sin => Some(x.sin_cos()?.0),
            Function::Cos => Some(x.sin_cos()?.1),
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
            Function::ArcSin | Function::ArcCos | Function::ArcTan => x.inverse_function(function),
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

/// An outward-rounded f64 interval.
#[derive(Clone, Copy, Debug)]
struct Float {
    low: f64,
    high: f64,
}

/// How far the standard library's elementary functions are trusted.
const TRUST: f64 = 64.0 * f64::EPSILON;

impl Float {
    fn new(low: f64, high: f64) -> Option<Float> {
        let fine = low.is_finite() && high.is_finite();
        fine.then(|| Float { low: low.next_down(), high: high.next_up() })
    }

    /// Widens the result of an elementary function.
    fn trusted(low: f64, high: f64) -> Option<Float> {
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

    fn pi(_: usize) -> Option<Float> {
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

    fn exp(&self) -> Option<Float> {
        Float::trusted(self.low.exp(), self.high.exp())
    }

    fn ln(&self) -> Option<Float> {
        if self.low <= 0.0 {
            return None;
        }
        Float::trusted(self.low.ln(), self.high.ln())
    }

    fn sin_cos(&self) -> Option<(Float, Float)> {
        if self.low.abs().max(self.high.abs()) > 1e6 {
            return None;
        }
        let width = self.high - self.low + TRUST;
        let (sine, cosine) = self.low.sin_cos();
        Some((Float::new(sine - width, sine + width)?, Float::new(cosine - width, cosine + width)?))
    }

    fn inverse_function(&self, function: &Function) -> Option<Float> {
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
}

/// An interval of big floats, each end rounded outward at `bits` bits.
#[derive(Clone, Debug)]
struct Big {
    low: Repr<2>,
    high: Repr<2>,
    bits: usize,
}

fn down(bits: usize) -> Context<Down> {
    Context::new(bits)
}

fn up(bits: usize) -> Context<Up> {
    Context::new(bits)
}

/// The number out of a rounded result; infinities end the evaluation.
fn finite<R: dashu_float::round::Round>(result: FpResult<dashu_float::FBig<R, 2>>) -> Option<Repr<2>> {
    let repr = result.ok()?.value().into_repr();
    repr.is_finite().then_some(repr)
}

impl Big {
    fn new(low: Option<Repr<2>>, high: Option<Repr<2>>, bits: usize) -> Option<Big> {
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
