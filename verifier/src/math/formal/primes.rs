//! Prime factors and exact roots of the rational numbers inside a form, by trial division up to a fixed bound.

use super::form::{Base, Exponent, Factor, Poly};
use crate::math::budget::Step;
use dashu_int::ops::{Gcd, UnsignedAbs};
use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;

/// The positive rational c with poly / c of coprime whole coefficients.
pub(super) fn content(poly: &Poly) -> RBig {
    let mut above = UBig::ZERO;
    let mut below = UBig::ONE;
    for value in poly.0.values() {
        let numerator = value.numerator().unsigned_abs();
        above = if above == UBig::ZERO { numerator } else { above.gcd(numerator) };
        let common = (&below).gcd(value.denominator());
        below = below / common * value.denominator();
    }
    if above == UBig::ZERO { RBig::ONE } else { RBig::from_parts(IBig::from(above), below) }
}

pub(super) fn exact_root(value: &UBig, n: usize) -> Option<UBig> {
    let root = value.nth_root(n);
    if root.pow(n) == *value { Some(root) } else { None }
}

const SMALL_PRIME_LIMIT: u64 = 1021;

/// The prime factors of |value|, each to its multiplicity times `power`, sorted.
pub(super) fn prime_factors(value: &RBig, power: Exponent) -> Step<Vec<Factor>> {
    let mut factors = Vec::new();
    add_factors(value.numerator().clone().unsigned_abs(), power, &mut factors)?;
    add_factors(value.denominator().clone(), power.negated(), &mut factors)?;
    factors.sort();
    Ok(factors)
}

fn add_factors(mut number: UBig, power: Exponent, factors: &mut Vec<Factor>) -> Step<()> {
    let mut push = |base: Base, count: i64| -> Step<()> {
        factors.push(Factor { base, over: None, power: power.times(Exponent::new(count, 1)?)? });
        Ok(())
    };
    let mut small = u64::try_from(&number).ok();
    let mut candidate = 2_u64;
    while candidate <= SMALL_PRIME_LIMIT {
        let mut count = 0;
        match &mut small {
            Some(rest) => {
                if candidate * candidate > *rest {
                    break;
                }
                while *rest % candidate == 0 {
                    *rest /= candidate;
                    count += 1;
                }
            }
            None => {
                while &number % candidate == 0 {
                    number /= candidate;
                    count += 1;
                }
                if count > 0 {
                    small = u64::try_from(&number).ok();
                }
            }
        }
        if count > 0 {
            push(Base::Prime(candidate), count)?;
        }
        candidate += if candidate == 2 { 1 } else { 2 };
    }
    if let Some(rest) = small {
        number = UBig::from(rest);
        if rest == 1 {
            return Ok(());
        }
        if rest < SMALL_PRIME_LIMIT * SMALL_PRIME_LIMIT || candidate * candidate > rest {
            return push(Base::Prime(rest), 1);
        }
    }
    for n in [2, 3, 5] {
        if let Some(root) = exact_root(&number, n) {
            let prime =
                u64::try_from(&root).ok().filter(|root| *root < SMALL_PRIME_LIMIT * SMALL_PRIME_LIMIT);
            return push(prime.map_or(Base::Cofactor(root), Base::Prime), n as i64);
        }
    }
    push(Base::Cofactor(number), 1)
}
