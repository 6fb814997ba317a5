//! Prime factors and exact roots of the rational numbers inside a form, by trial division up to a fixed bound.

use super::form::{Base, Exponent, Factor, Poly};
use crate::math::budget::{Fuel, Step};
use dashu_int::ops::{BitTest, Gcd, UnsignedAbs};
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

/// Divisors are tried up to here.
const SMALL_PRIME_LIMIT: u64 = 1021;

/// How many primes there are up to [`SMALL_PRIME_LIMIT`].
const SMALL_PRIMES: usize = 172;

const PRIMES: [u16; SMALL_PRIMES] = small_primes();

const fn small_primes() -> [u16; SMALL_PRIMES] {
    let mut primes = [2; SMALL_PRIMES];
    let (mut found, mut candidate) = (1, 3);
    while found < SMALL_PRIMES {
        let mut at = 0;
        while at < found && candidate % primes[at] != 0 {
            at += 1;
        }
        if at == found {
            primes[found] = candidate;
            found += 1;
        }
        candidate += 2;
    }
    primes
}

/// The prime factors of |value|, each to its multiplicity times `power`, sorted.
pub(super) fn prime_factors(value: &RBig, power: Exponent, fuel: &mut Fuel) -> Step<Vec<Factor>> {
    let mut factors = Vec::new();
    add_factors(value.numerator().clone().unsigned_abs(), power, fuel, &mut factors)?;
    add_factors(value.denominator().clone(), power.negated(), fuel, &mut factors)?;
    factors.sort();
    Ok(factors)
}

fn add_factors(mut number: UBig, power: Exponent, fuel: &mut Fuel, factors: &mut Vec<Factor>) -> Step<()> {
    // A division by each prime, and the roots at the end, go over all the words of a long number.
    let words = number.bit_len() as u64 / 64;
    fuel.take(2 + 2 * words + words * words / 64)?;
    let mut push = |base: Base, count: i64| -> Step<()> {
        factors.push(Factor { base, over: None, power: power.times(Exponent::new(count, 1)?)? });
        Ok(())
    };
    let mut small = u64::try_from(&number).ok();
    let mut all_tried = true;
    for candidate in PRIMES.map(u64::from) {
        let mut count = 0;
        match &mut small {
            Some(rest) => {
                if candidate * candidate > *rest {
                    all_tried = false;
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
    }
    if let Some(rest) = small {
        number = UBig::from(rest);
        if rest == 1 {
            return Ok(());
        }
        // What has no divisor up to its root, or up to the limit and lies below the limit's square, is prime.
        if rest < SMALL_PRIME_LIMIT * SMALL_PRIME_LIMIT || !all_tried {
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

#[cfg(test)]
mod tests {
    use super::{PRIMES, SMALL_PRIME_LIMIT};

    #[test]
    fn the_table_holds_the_primes_up_to_the_limit() {
        let is_prime = |n: &u64| (2..*n).all(|divisor| !n.is_multiple_of(divisor));
        let primes: Vec<u64> = (2..=SMALL_PRIME_LIMIT).filter(is_prime).collect();
        assert_eq!(PRIMES.map(u64::from).to_vec(), primes);
    }
}
