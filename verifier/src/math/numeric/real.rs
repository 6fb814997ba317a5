//! What an interval can do, and complex numbers made of two.

use crate::math::ast::Function;
use dashu_float::ConstCache;
use dashu_ratio::RBig;
use std::cmp::Ordering;

/// A real interval of some precision. `None` from an operation: not defined, or not representable.
pub(super) trait Real: Clone {
    fn rational(value: &RBig, bits: usize) -> Option<Self>;
    fn pi(bits: usize, constants: &mut ConstCache) -> Option<Self>;
    fn add(&self, other: &Self) -> Option<Self>;
    fn negated(&self) -> Self;
    fn times(&self, other: &Self) -> Option<Self>;
    fn inverse(&self) -> Option<Self>;
    /// The n-th root of an interval above zero.
    fn root(&self, n: usize) -> Option<Self>;
    fn exp(&self, constants: &mut ConstCache) -> Option<Self>;
    fn ln(&self, constants: &mut ConstCache) -> Option<Self>;
    fn sin_cos(&self, constants: &mut ConstCache) -> Option<(Self, Self)>;
    fn inverse_function(&self, function: &Function, constants: &mut ConstCache) -> Option<Self>;
    /// The sign, where the whole interval has one.
    fn sign(&self) -> Option<Ordering>;
    /// Floors of both ends.
    fn floors(&self) -> Option<(i64, i64)>;
    /// An upper bound of log2 |x|.
    fn log2_size(&self) -> i64;
    /// What an elementary function costs in fuel.
    fn cost(bits: usize) -> u64;
    /// What a complex product costs, over the step of any operation.
    fn light(bits: usize) -> u64;
}

/// A complex number; no imaginary part means exactly real.
#[derive(Clone)]
pub(super) struct Complex<R> {
    pub(super) re: R,
    pub(super) im: Option<R>,
}

impl<R: Real> Complex<R> {
    pub(super) fn real(re: R) -> Complex<R> {
        Complex { re, im: None }
    }

    pub(super) fn is_nonzero(&self) -> bool {
        let apart = |part: &R| part.sign().is_some_and(|order| order != Ordering::Equal);
        apart(&self.re) || self.im.as_ref().is_some_and(apart)
    }

    pub(super) fn log2_size(&self) -> i64 {
        self.im.as_ref().map_or(i64::MIN, R::log2_size).max(self.re.log2_size())
    }

    pub(super) fn add(&self, other: &Self) -> Option<Self> {
        let im = match (&self.im, &other.im) {
            (Some(a), Some(b)) => Some(a.add(b)?),
            (a, b) => a.clone().or(b.clone()),
        };
        Some(Complex { re: self.re.add(&other.re)?, im })
    }

    pub(super) fn times(&self, other: &Self) -> Option<Self> {
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

    pub(super) fn inverse(&self) -> Option<Self> {
        let Some(im) = &self.im else { return Some(Complex::real(self.re.inverse()?)) };
        let size = self.re.times(&self.re)?.add(&im.times(im)?)?.inverse()?;
        Some(Complex { re: self.re.times(&size)?, im: Some(im.negated().times(&size)?) })
    }

    pub(super) fn exp(&self, constants: &mut ConstCache) -> Option<Self> {
        let size = self.re.exp(constants)?;
        let Some(im) = &self.im else { return Some(Complex::real(size)) };
        let (sine, cosine) = im.sin_cos(constants)?;
        Some(Complex { re: size.times(&cosine)?, im: Some(size.times(&sine)?) })
    }

    pub(super) fn power(&self, mut power: u64, one: R) -> Option<Self> {
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
