//! Exact canonical forms: the tier that proves most equalities and most differences.
//!
//! A value becomes a fraction of two sums of terms; a term is a rational number times powers of *atoms*:
//! primes under a root, pi, e, i, ln p, variables, and opaque pieces (roots of sums, functions of anything)
//! that are compared by their own canonical form. Sines and cosines are written with exponentials, so every
//! trigonometric identity is plain algebra; `e^(i pi r)` is written with roots where the angle is a multiple
//! of 15 degrees.
//!
//! What is proven. Every rewriting used is a true identity for real variables wherever both sides are
//! defined, so two values whose difference has the canonical form 0 *are* equal, provided the divisors met
//! on the way are not zero: those that are not obviously so are kept as `divisors`, and the caller has to
//! prove them. The converse holds only for sums of *independent* atoms (`Poly::is_independent`): products of
//! distinct prime radicals are linearly independent over Q(i) (Besicovitch 1940), pi and e are each
//! transcendental, variables are free.
//!
//! Conventions: odd roots of negative numbers are real; symbolic exponents stand for integers or have
//! positive bases.

mod arithmetic;
mod combinatorics;
mod form;
mod function;
mod power;
mod primes;
mod root;
mod show;
mod task;

use super::ast::Ast;
use super::budget::{Budget, Fuel, Step, Stop};
use super::parse::is_infinite;
use dashu_int::UBig;
use dashu_ratio::RBig;
use form::atom;
pub(crate) use form::{BINOMIAL, Base, Exponent, FACTORIAL, Factor, Frac, Mono, Poly};
pub(crate) use show::expression;
use std::sync::Arc;

/// A product in canonical form: its rational part, its atoms, and whole powers of groups still to multiply
/// out.
type Settled = (RBig, Mono, Vec<(Arc<Poly>, u64)>);

/// Builds canonical forms, with the fuel of one comparison.
#[derive(Debug)]
pub(crate) struct Formal<'b> {
    pub(crate) budget: &'b Budget,
    pub(crate) fuel: Fuel,
    /// Divisors that still have to be proven different from zero.
    pub(crate) divisors: Vec<Poly>,
    /// Inside a trigonometric function a degree sign means pi/180.
    in_angle: bool,
}

impl<'b> Formal<'b> {
    pub(crate) fn new(budget: &'b Budget, fuel: Fuel) -> Formal<'b> {
        Formal { budget, fuel, divisors: Vec::new(), in_angle: false }
    }

    /// The canonical form of a value.
    pub(crate) fn value(&mut self, ast: &Ast) -> Step<Frac> {
        self.fuel.take(1)?;
        Ok(match ast {
            Ast::Number(number) => Frac::rational(number.value.clone()),
            Ast::Based(digits, base) => {
                let outside = |_| Stop::Unsupported("a digit outside its base");
                let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
                let value = UBig::from_str_radix(&format!("{whole}{places}"), *base).map_err(outside)?;
                Frac::rational(RBig::from_parts(value.into(), UBig::from(*base).pow(places.len())))
            }
            Ast::Symbol(name) => atom(Base::Symbol(name.clone())),
            Ast::Pi => atom(Base::Pi),
            Ast::Euler => atom(Base::Euler),
            Ast::Imaginary => atom(Base::Imaginary),
            // Some of it has a value in the extended real numbers, so it is not proven to be none.
            Ast::Infinity => return Err(Stop::Unsupported("arithmetic with infinity")),
            Ast::Sum(terms) => {
                let infinite = |negative| {
                    terms.iter().any(|term| is_infinite(term) && matches!(term, Ast::Negative(_)) == negative)
                };
                if infinite(true) && infinite(false) {
                    return Err(Stop::Undefined("infinity minus infinity"));
                }
                let mut sum = Frac::rational(RBig::ZERO);
                for term in terms {
                    let term = self.value(term)?;
                    sum = self.add(sum, term)?;
                }
                sum
            }
            Ast::Product(factors) => {
                let mut product = Frac::rational(RBig::ONE);
                for factor in factors {
                    let factor = self.value(factor)?;
                    product = self.times(&product, &factor)?;
                }
                product
            }
            Ast::Negative(inner) => {
                let inner = self.value(inner)?;
                Frac { above: inner.above.negated(), below: inner.below }
            }
            Ast::Quotient(above, below) => {
                let above = self.value(above)?;
                let below = self.value(below)?;
                self.divide(&above, &below)?
            }
            Ast::Power(base, exponent) => {
                let base = self.value(base)?;
                let exponent = self.value(exponent)?;
                self.power(&base, &exponent)?
            }
            Ast::Root(index, inner) => {
                let index = self.value(index)?.as_rational().filter(RBig::is_int);
                let index = index.ok_or(Stop::Unsupported("a root whose index is not a whole number"))?;
                let index = Exponent::from_rational(&index)?;
                if index.above < 1 {
                    return Err(Stop::Undefined("a root of index zero or less"));
                }
                let inner = self.value(inner)?;
                self.rational_power(&inner, Exponent::new(1, index.above)?)?
            }
            Ast::Call(function, arguments) => self.call(function, arguments)?,
            Ast::Factorial(inner) => {
                let inner = self.value(inner)?;
                self.factorial(inner)?
            }
            Ast::Degrees(inner) => {
                let inner = self.value(inner)?;
                if !self.in_angle {
                    return Ok(inner);
                }
                let radians = Frac::poly(Poly::term(
                    RBig::from_parts(1.into(), 180_u8.into()),
                    Mono::of(Base::Pi, Exponent::ONE),
                ));
                self.times(&inner, &radians)?
            }
            Ast::Percent(inner) => {
                let inner = self.value(inner)?;
                self.times(&inner, &Frac::rational(RBig::from_parts(1.into(), 100_u8.into())))?
            }
            Ast::Quantity(..) => return Err(Stop::Unsupported("a unit inside an expression")),
            Ast::PlusMinus(..) => return Err(Stop::Unsupported("a plus-minus sign in this place")),
            _ => return Err(Stop::Unsupported("a collection or a statement inside an expression")),
        })
    }
}
