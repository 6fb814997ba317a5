//! Factorials and binomial coefficients as products of prime powers (Legendre), never as long numbers.

use super::Formal;
use super::form::{BINOMIAL, Base, Exponent, FACTORIAL, Factor, Frac, Poly, atom, is_negative, opaque};
use crate::math::ast::Function;
use crate::math::budget::{Step, Stop};
use dashu_ratio::RBig;
use std::collections::BTreeMap;
use std::sync::Arc;

impl<'b> Formal<'b> {
    pub(super) fn factorial(&mut self, x: Frac) -> Step<Frac> {
        let Some(value) = x.as_rational() else {
            return Ok(opaque(Function::Named(FACTORIAL.into()), &x));
        };
        if !value.is_int() {
            return Err(Stop::Unsupported("a factorial of what is not a whole number"));
        }
        if is_negative(&value) {
            return Err(Stop::Undefined("a factorial below zero"));
        }
        let n = u64::try_from(value.numerator()).map_err(|_| Stop::Limit("factorial"))?;
        let mut powers = BTreeMap::new();
        self.add_factorial(&mut powers, n, 1)?;
        self.product_of_primes(powers)
    }

    pub(super) fn binomial(&mut self, above: &Frac, below: &Frac) -> Step<Frac> {
        let whole =
            |x: &Frac| x.as_rational().filter(RBig::is_int).and_then(|v| u64::try_from(v.numerator()).ok());
        let (Some(n), Some(k)) = (whole(above), whole(below)) else {
            let pair = Arc::new(vec![above.clone(), below.clone()]);
            return Ok(atom(Base::Call(Function::Named(BINOMIAL.into()), pair)));
        };
        if k > n {
            return Ok(Frac::rational(RBig::ZERO));
        }
        let mut powers = BTreeMap::new();
        self.add_factorial(&mut powers, n, 1)?;
        self.add_factorial(&mut powers, k, -1)?;
        self.add_factorial(&mut powers, n - k, -1)?;
        self.product_of_primes(powers)
    }

    /// Adds the prime exponents of n! (Legendre), `sign` times.
    fn add_factorial(&mut self, powers: &mut BTreeMap<u64, i64>, n: u64, sign: i64) -> Step<()> {
        if n > self.budget.factorial {
            return Err(Stop::Limit("factorial"));
        }
        self.fuel.take(n / 8 + 1)?;
        let mut composite = vec![false; n as usize + 1];
        for prime in 2..=n {
            if composite[prime as usize] {
                continue;
            }
            let mut multiple = prime * prime;
            while multiple <= n {
                composite[multiple as usize] = true;
                multiple += prime;
            }
            let (mut power, mut rest) = (0, n);
            while rest > 0 {
                rest /= prime;
                power += rest as i64;
            }
            *powers.entry(prime).or_default() += sign * power;
        }
        Ok(())
    }

    fn product_of_primes(&mut self, powers: BTreeMap<u64, i64>) -> Step<Frac> {
        let factors = powers
            .into_iter()
            .map(|(prime, power)| {
                Ok(Factor { base: Base::Prime(prime), over: None, power: Exponent::new(power, 1)? })
            })
            .collect::<Step<Vec<Factor>>>()?;
        let (value, mono, _) = self.settle(RBig::ONE, factors)?;
        Ok(Frac::poly(Poly::term(value, mono)))
    }
}
