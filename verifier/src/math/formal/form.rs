//! The canonical form itself: exponents, products, sums, fractions, and what can be read off them.

use crate::math::ast::Function;
use crate::math::budget::{Step, Stop};
use dashu_int::{Sign, UBig};
use dashu_ratio::RBig;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a term is made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Base {
    Imaginary,
    MinusOne,
    Prime(u64),
    /// A cofactor without small divisors, not proven prime.
    Cofactor(UBig),
    Pi,
    Euler,
    /// ln of the unknown base of `\log`.
    LogUnit,
    LnPrime(u64),
    Symbol(Arc<str>),
    /// A sum under a root or a symbolic power.
    Group(Arc<Poly>),
    Call(Function, Arc<Vec<Frac>>),
}

/// `base ^ (power * over)`; without `over` the exponent is the rational `power` alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Factor {
    pub(crate) base: Base,
    pub(crate) over: Option<Arc<Mono>>,
    pub(crate) power: Exponent,
}

/// A product of factors, sorted by base and symbolic exponent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Mono(pub(crate) Vec<Factor>);

/// A sum of terms: coefficient by product, no coefficient zero.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Poly(pub(crate) BTreeMap<Mono, RBig>);

/// `above / below`; no `below` means 1, and a `below` has at least two terms.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Frac {
    pub(crate) above: Poly,
    pub(crate) below: Option<Poly>,
}

/// A small reduced fraction, denominator above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exponent {
    pub(crate) above: i64,
    pub(crate) below: i64,
}

/// The names under which factorials and binomial coefficients of what is no number are held.
pub(crate) const FACTORIAL: &str = "!";

pub(crate) const BINOMIAL: &str = "binom";

pub(super) const EXPONENT: Stop = Stop::Limit("exponent");

/// Powers of one term are cheap, so their exponent may be large; it has to leave room for arithmetic.
const LARGEST_EXPONENT: i64 = 1 << 40;

impl Exponent {
    pub(crate) const ONE: Exponent = Exponent { above: 1, below: 1 };

    pub(crate) fn new(above: i64, below: i64) -> Step<Exponent> {
        let common = gcd(above.unsigned_abs(), below.unsigned_abs()) as i64;
        let sign = if below < 0 { -1 } else { 1 };
        let (above, below) = (sign * above / common, sign * below / common);
        if above.abs() > LARGEST_EXPONENT || below > 1 << 16 {
            return Err(EXPONENT);
        }
        Ok(Exponent { above, below })
    }

    pub(super) fn from_rational(value: &RBig) -> Step<Exponent> {
        let above = i64::try_from(value.numerator()).map_err(|_| EXPONENT)?;
        let below = i64::try_from(value.denominator()).map_err(|_| EXPONENT)?;
        if above.abs() > LARGEST_EXPONENT || below > 1 << 16 {
            return Err(EXPONENT);
        }
        Exponent::new(above, below)
    }

    pub(super) fn add(self, other: Exponent) -> Step<Exponent> {
        Exponent::new(self.above * other.below + other.above * self.below, self.below * other.below)
    }

    pub(super) fn times(self, other: Exponent) -> Step<Exponent> {
        let above = self.above.checked_mul(other.above).ok_or(EXPONENT)?;
        Exponent::new(above, self.below * other.below)
    }

    pub(super) fn floor(self) -> i64 {
        self.above.div_euclid(self.below)
    }

    pub(super) fn fraction(self) -> Exponent {
        Exponent { above: self.above.rem_euclid(self.below), below: self.below }
    }

    pub(super) fn is_zero(self) -> bool {
        self.above == 0
    }

    pub(crate) fn is_integer(self) -> bool {
        self.below == 1
    }

    pub(super) fn negated(self) -> Exponent {
        Exponent { above: -self.above, below: self.below }
    }

    pub(crate) fn to_rational(self) -> RBig {
        RBig::from_parts(self.above.into(), self.below.unsigned_abs().into())
    }
}

pub(super) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

impl Mono {
    pub(super) fn of(base: Base, power: Exponent) -> Mono {
        Mono(vec![Factor { base, over: None, power }])
    }

    pub(crate) fn is_one(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is a product of variables to positive whole powers.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.iter().all(|factor| {
            let variable = factor.over.is_none() && matches!(factor.base, Base::Symbol(_));
            variable && factor.power.is_integer() && factor.power.above > 0
        })
    }
}

impl Poly {
    pub(crate) fn rational(value: RBig) -> Poly {
        let mut terms = BTreeMap::new();
        if !value.is_zero() {
            terms.insert(Mono::default(), value);
        }
        Poly(terms)
    }

    pub(super) fn term(coefficient: RBig, mono: Mono) -> Poly {
        let mut terms = BTreeMap::new();
        if !coefficient.is_zero() {
            terms.insert(mono, coefficient);
        }
        Poly(terms)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_rational(&self) -> Option<RBig> {
        match self.0.len() {
            0 => Some(RBig::ZERO),
            1 => self.0.first_key_value().filter(|(mono, _)| mono.is_one()).map(|(_, value)| value.clone()),
            _ => None,
        }
    }

    pub(super) fn single(&self) -> Option<(&Mono, &RBig)> {
        if self.0.len() == 1 { self.0.first_key_value() } else { None }
    }

    pub(crate) fn negated(&self) -> Poly {
        Poly(self.0.iter().map(|(mono, value)| (mono.clone(), -value.clone())).collect())
    }

    pub(super) fn scaled(&self, by: &RBig) -> Poly {
        Poly(self.0.iter().map(|(mono, value)| (mono.clone(), value.clone() * by)).collect())
    }

    /// `slope * variable + rest` where neither has a variable in it.
    pub(crate) fn linear(&self) -> Option<(Arc<str>, Poly, Poly)> {
        let is_variable = |factor: &&Factor| matches!(factor.base, Base::Symbol(_)) && factor.over.is_none();
        let (mut found, mut slope, mut rest) = (None, Poly::default(), Poly::default());
        for (mono, value) in &self.0 {
            match mono.0.iter().find(is_variable) {
                None => rest.0.insert(mono.clone(), value.clone()),
                Some(Factor { base: Base::Symbol(name), power: Exponent::ONE, .. })
                    if found.as_ref().is_none_or(|other| other == name) =>
                {
                    found = Some(name.clone());
                    let others = mono.0.iter().filter(|factor| !is_variable(factor)).cloned().collect();
                    slope.0.insert(Mono(others), value.clone())
                }
                Some(_) => return None,
            };
        }
        found.filter(|_| slope.is_constant() && rest.is_constant()).map(|name| (name, slope, rest))
    }

    /// Walks over all factors, also those inside exponents, groups and arguments; stops where `visit` says
    /// `false`.
    pub(crate) fn all_factors(&self, visit: &mut dyn FnMut(&Factor) -> bool) -> bool {
        self.0.keys().all(|mono| mono_factors(mono, visit))
    }

    /// Whether no variable occurs.
    pub(crate) fn is_constant(&self) -> bool {
        self.all_factors(&mut |factor| {
            !matches!(factor.base, Base::Symbol(_) | Base::LogUnit | Base::Call(Function::Named(_), _))
        })
    }

    pub(crate) fn has_imaginary(&self) -> bool {
        !self.all_factors(&mut |factor| factor.base != Base::Imaginary)
    }

    /// Whether a factorial or a binomial coefficient of what is no number occurs.
    pub(crate) fn has_factorial(&self) -> bool {
        let named = |base: &Base| matches!(base, Base::Call(Function::Named(_), _)) && !is_free(base);
        !self.all_factors(&mut |factor| !named(&factor.base))
    }

    /// Whether a floor or a ceiling occurs.
    pub(crate) fn has_steps(&self) -> bool {
        let step = |base: &Base| matches!(base, Base::Call(Function::Floor | Function::Ceiling, _));
        !self.all_factors(&mut |factor| !step(&factor.base))
    }

    /// Whether -1 has a symbolic exponent somewhere.
    pub(crate) fn alternates(&self) -> bool {
        !self.all_factors(&mut |factor| factor.base != Base::MinusOne || factor.over.is_none())
    }

    /// Whether it is a whole number wherever its variables are.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.iter().all(|(mono, value)| value.is_int() && mono.is_whole())
    }

    pub(crate) fn has_log_unit(&self) -> bool {
        !self.all_factors(&mut |factor| factor.base != Base::LogUnit)
    }

    /// Whether it is another sum times one power of the logarithms' base: zero for every base or for none.
    pub(crate) fn is_same_for_every_base(&self) -> bool {
        let is_unit = |factor: &Factor| factor.base == Base::LogUnit && factor.over.is_none();
        let power = |mono: &Mono| mono.0.iter().find(|factor| is_unit(factor)).map(|factor| factor.power);
        let rest = |mono: &Mono| Mono(mono.0.iter().filter(|factor| !is_unit(factor)).cloned().collect());
        let same_power = self.0.keys().all(|mono| Some(power(mono)) == self.0.keys().next().map(power));
        same_power
            && self.0.keys().all(|mono| mono_factors(&rest(mono), &mut |factor| factor.base != Base::LogUnit))
    }

    /// Whether the terms are linearly independent over Q by theorem, so that a non-empty sum is not zero.
    pub(crate) fn is_independent(&self) -> bool {
        if let Some((mono, _)) = self.single() {
            // One term: a product of what is not zero.
            let nonzero = |factor: &Factor| match factor.base {
                Base::Group(_) => false,
                Base::Call(_, _) => is_free(&factor.base),
                Base::Symbol(_) => factor.over.is_none(),
                _ => true,
            };
            return mono.0.iter().all(nonzero);
        }
        let (mut pi, mut euler) = (false, false);
        let fine = self.0.keys().flat_map(|mono| &mono.0).all(|factor| {
            factor.over.is_none()
                && match factor.base {
                    Base::Imaginary | Base::Symbol(_) => true,
                    Base::Call(..) => is_free(&factor.base),
                    Base::Prime(_) => factor.power.above < factor.power.below && factor.power.above > 0,
                    Base::Pi => {
                        pi = true;
                        true
                    }
                    Base::Euler => {
                        euler = true;
                        true
                    }
                    _ => false,
                }
        });
        fine && !(pi && euler)
    }
}

pub(super) fn mono_factors(mono: &Mono, visit: &mut dyn FnMut(&Factor) -> bool) -> bool {
    mono.0.iter().all(|factor| {
        visit(factor)
            && factor.over.as_ref().is_none_or(|over| mono_factors(over, visit))
            && match &factor.base {
                Base::Group(poly) => poly.all_factors(visit),
                Base::Call(_, arguments) => arguments.iter().all(|argument| {
                    argument.above.all_factors(visit)
                        && argument.below.as_ref().is_none_or(|below| below.all_factors(visit))
                }),
                _ => true,
            }
    })
}

impl From<Poly> for Frac {
    fn from(above: Poly) -> Frac {
        Frac::poly(above)
    }
}

impl Frac {
    pub(super) fn poly(above: Poly) -> Frac {
        Frac { above, below: None }
    }

    pub(crate) fn rational(value: RBig) -> Frac {
        Frac::poly(Poly::rational(value))
    }

    pub(crate) fn as_rational(&self) -> Option<RBig> {
        if self.below.is_some() { None } else { self.above.as_rational() }
    }

    pub(super) fn is_constant(&self) -> bool {
        self.above.is_constant() && self.below.as_ref().is_none_or(Poly::is_constant)
    }
}

pub(super) fn is_negative(value: &RBig) -> bool {
    value.sign() == Sign::Negative
}

pub(super) fn atom(base: Base) -> Frac {
    Frac::poly(Poly::term(RBig::ONE, Mono::of(base, Exponent::ONE)))
}

pub(super) fn opaque(function: Function, x: &Frac) -> Frac {
    atom(Base::Call(function, Arc::new(vec![x.clone()])))
}

pub(super) fn reduced(above: Poly, below: Option<Poly>) -> Frac {
    let below = if above.is_zero() { None } else { below };
    Frac { above, below }
}

pub(super) fn is_i_pi(over: Option<&Mono>) -> bool {
    over.is_some_and(|over| {
        matches!(over.0.as_slice(), [i, pi] if i.base == Base::Imaginary && pi.base == Base::Pi
            && i.over.is_none() && pi.over.is_none() && i.power == Exponent::ONE && pi.power == Exponent::ONE)
    })
}

/// A function of which nothing is known, so that no relation between its values holds. Factorials and binomial
/// coefficients are held under names too, and have many: n! = n (n-1)!.
fn is_free(base: &Base) -> bool {
    matches!(base, Base::Call(Function::Named(name), _) if !matches!(&**name, FACTORIAL | BINOMIAL))
}

/// Whether a factor is certainly above zero for real variables.
pub(super) fn is_positive(factor: &Factor) -> bool {
    let root = factor.power.below % 2 == 0;
    match &factor.base {
        Base::Prime(_) | Base::Cofactor(_) | Base::Pi | Base::LogUnit | Base::LnPrime(_) => factor
            .over
            .as_ref()
            .is_none_or(|over| mono_factors(over, &mut |inner| inner.base != Base::Imaginary)),
        Base::Euler => factor
            .over
            .as_ref()
            .is_none_or(|over| mono_factors(over, &mut |inner| inner.base != Base::Imaginary)),
        Base::Symbol(_) => factor.over.is_none() && root,
        Base::Group(group) => factor.over.is_none() && (root || group.is_constant()),
        _ => false,
    }
}
