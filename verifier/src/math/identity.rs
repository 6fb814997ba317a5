//! Identity test modulo two primes of 61 bits, for rational functions that are too long to multiply out.
//!
//! Both sides are evaluated at fixed pseudo-random points modulo 2^61 - 1 and 2^61 - 31. What is proven: if
//! they differ at a point where every divisor is invertible, they are different functions (only where
//! neither pi nor e occurs, which are given values of their own here). If they agree at all points they are
//! equal but for an error of at most (2 d / p)^4, d bounding the degrees (Schwartz-Zippel); pi and e count
//! as variables, which can only make the test miss an equality, not invent one.

use super::ast::Ast;
use super::budget::{Fuel, words};
use dashu_int::ops::UnsignedAbs;
use dashu_int::{IBig, Sign};
use dashu_ratio::RBig;

const PRIMES: [u64; 2] = [WORD - 1, WORD - 31];
/// Both primes lie a little below this power of two, which makes remainders cheap.
const WORD: u64 = 1 << 61;
const POINTS: u64 = 2;

/// What the test found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Equal but for an error of at most 2^-bits.
    Equal { bits: u32 },
    /// Proven different.
    Different,
    /// Not a rational function, or no point was usable.
    Unknown,
}

/// Tests two values for being the same rational function.
pub(crate) fn test(a: &Ast, b: &Ast, fuel: &mut Fuel) -> Identity {
    let Some(degree) = degree(a).zip(degree(b)).map(|(a, b)| a.saturating_add(b)) else {
        return Identity::Unknown;
    };
    if degree > 1 << 40 {
        return Identity::Unknown;
    }
    let transcendental = |x: &Ast| matches!(x, Ast::Pi | Ast::Euler);
    let algebraic = !a.any(&transcendental) && !b.any(&transcendental);
    for prime in PRIMES {
        for point in 0..POINTS {
            let mut field = Field { prime, point, fuel };
            let (Some(x), Some(y)) = (field.value(a), field.value(b)) else { return Identity::Unknown };
            if x != y {
                return if algebraic { Identity::Different } else { Identity::Unknown };
            }
        }
    }
    let lost = 64 - (2 * degree).leading_zeros();
    Identity::Equal { bits: 4 * (60 - lost) }
}

/// A bound of the degrees of numerator and denominator; `None` for what is not a rational function.
fn degree(ast: &Ast) -> Option<u64> {
    match ast {
        Ast::Number(_) => Some(0),
        Ast::Symbol(_) | Ast::Pi | Ast::Euler => Some(1),
        Ast::Negative(inner) => degree(inner),
        Ast::Sum(parts) | Ast::Product(parts) => {
            parts.iter().try_fold(0_u64, |sum, part| Some(sum.saturating_add(degree(part)?)))
        }
        Ast::Quotient(a, b) => Some(degree(a)?.saturating_add(degree(b)?)),
        Ast::Power(base, exponent) => Some(degree(base)?.saturating_mul(whole(exponent)?.unsigned_abs())),
        _ => None,
    }
}

/// A small whole number as an exponent.
fn whole(ast: &Ast) -> Option<i64> {
    match ast {
        Ast::Number(number) if number.value.is_int() => i64::try_from(number.value.numerator()).ok(),
        Ast::Negative(inner) => whole(inner)?.checked_neg(),
        Ast::Power(base, exponent) => whole(base)?.checked_pow(u32::try_from(whole(exponent)?).ok()?),
        Ast::Sum(parts) => parts.iter().try_fold(0_i64, |sum, part| sum.checked_add(whole(part)?)),
        Ast::Product(parts) => {
            parts.iter().try_fold(1_i64, |product, part| product.checked_mul(whole(part)?))
        }
        _ => None,
    }
}

struct Field<'f> {
    prime: u64,
    point: u64,
    fuel: &'f mut Fuel,
}

impl Field<'_> {
    fn value(&mut self, ast: &Ast) -> Option<u64> {
        self.fuel.take(1).ok()?;
        match ast {
            Ast::Number(number) => self.rational(&number.value),
            Ast::Symbol(name) => Some(self.sample(name)),
            Ast::Pi => Some(self.sample("\\pi")),
            Ast::Euler => Some(self.sample("\\e")),
            Ast::Negative(inner) => self.value(inner).map(|x| (self.prime - x) % self.prime),
            Ast::Sum(parts) => {
                parts.iter().try_fold(0, |sum, part| Some((sum + self.value(part)?) % self.prime))
            }
            Ast::Product(parts) => parts.iter().try_fold(1, |product, part| {
                let factor = self.value(part)?;
                Some(self.times(product, factor))
            }),
            Ast::Quotient(a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                Some(self.times(a, self.inverse(b)?))
            }
            Ast::Power(base, exponent) => {
                let exponent = whole(exponent)?;
                let base = self.value(base)?;
                if base == 0 && exponent <= 0 {
                    return None;
                }
                let raised = self.power(base, exponent.unsigned_abs());
                if exponent < 0 { self.inverse(raised) } else { Some(raised) }
            }
            _ => None,
        }
    }

    fn rational(&mut self, value: &RBig) -> Option<u64> {
        self.fuel.take(words(value) as u64 / 32).ok()?;
        let reduce = |x: &IBig| x.clone().unsigned_abs() % self.prime;
        let above = reduce(value.numerator());
        let size = if value.is_int() {
            above
        } else {
            let below = value.denominator() % self.prime;
            self.times(above, self.inverse(below)?)
        };
        Some(if value.sign() == Sign::Negative { (self.prime - size) % self.prime } else { size })
    }

    fn times(&self, a: u64, b: u64) -> u64 {
        let excess = u128::from(WORD - self.prime);
        let mut product = u128::from(a) * u128::from(b);
        // x = high * 2^61 + low is high * excess + low modulo the prime; below 2^122, then 2^67, then 2^62.
        for _ in 0..2 {
            product = (product >> 61) * excess + (product & u128::from(WORD - 1));
        }
        let product = product as u64;
        if product >= self.prime { product - self.prime } else { product }
    }

    fn power(&self, base: u64, mut exponent: u64) -> u64 {
        let (mut result, mut square) = (1, base);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = self.times(result, square);
            }
            square = self.times(square, square);
            exponent >>= 1;
        }
        result
    }

    fn inverse(&self, x: u64) -> Option<u64> {
        if x == 0 { None } else { Some(self.power(x, self.prime - 2)) }
    }

    fn sample(&self, name: &str) -> u64 {
        let mut hash =
            0x6a09_e667_f3bc_c908_u64 ^ self.point.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.prime;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            hash ^= hash >> 31;
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (hash ^ (hash >> 31)) % self.prime
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, PRIMES};
    use crate::math::budget::Fuel;

    #[test]
    fn products_are_remainders() {
        let fuel = &mut Fuel::of(0);
        for prime in PRIMES {
            let field = Field { prime, point: 0, fuel };
            for a in [0, 1, 2, 31, 1 << 30, (1 << 60) + 12_345, prime - 2, prime - 1] {
                for b in [0, 1, 3, 1 << 31, (1 << 60) + 678, prime - 31, prime - 1] {
                    let right = (u128::from(a) * u128::from(b) % u128::from(prime)) as u64;
                    assert_eq!(field.times(a, b), right, "{a} times {b} modulo {prime}");
                }
            }
        }
    }
}
