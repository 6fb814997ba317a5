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

use super::ast::{Ast, Function};
use super::budget::{Budget, Fuel, Step, Stop};
use super::numeric;
use super::parse::is_infinite;
use dashu_int::ops::{Abs, BitTest, Gcd, UnsignedAbs};
use dashu_int::{IBig, Sign, UBig};
use dashu_ratio::RBig;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;
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
    Group(Rc<Poly>),
    Call(Function, Rc<Vec<Frac>>),
}

/// `base ^ (power * over)`; without `over` the exponent is the rational `power` alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Factor {
    pub(crate) base: Base,
    pub(crate) over: Option<Rc<Mono>>,
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

const EXPONENT: Stop = Stop::Limit("exponent");
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

    fn from_rational(value: &RBig) -> Step<Exponent> {
        let above = i64::try_from(value.numerator()).map_err(|_| EXPONENT)?;
        let below = i64::try_from(value.denominator()).map_err(|_| EXPONENT)?;
        if above.abs() > LARGEST_EXPONENT || below > 1 << 16 {
            return Err(EXPONENT);
        }
        Exponent::new(above, below)
    }

    fn add(self, other: Exponent) -> Step<Exponent> {
        Exponent::new(self.above * other.below + other.above * self.below, self.below * other.below)
    }

    fn times(self, other: Exponent) -> Step<Exponent> {
        let above = self.above.checked_mul(other.above).ok_or(EXPONENT)?;
        Exponent::new(above, self.below * other.below)
    }

    fn floor(self) -> i64 {
        self.above.div_euclid(self.below)
    }

    fn fraction(self) -> Exponent {
        Exponent { above: self.above.rem_euclid(self.below), below: self.below }
    }

    fn is_zero(self) -> bool {
        self.above == 0
    }

    pub(crate) fn is_integer(self) -> bool {
        self.below == 1
    }

    fn negated(self) -> Exponent {
        Exponent { above: -self.above, below: self.below }
    }

    pub(crate) fn to_rational(self) -> RBig {
        RBig::from_parts(self.above.into(), self.below.unsigned_abs().into())
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

impl Mono {
    fn of(base: Base, power: Exponent) -> Mono {
        Mono(vec![Factor { base, over: None, power }])
    }

    pub(crate) fn is_one(&self) -> bool {
        self.0.is_empty()
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

    fn term(coefficient: RBig, mono: Mono) -> Poly {
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

    fn single(&self) -> Option<(&Mono, &RBig)> {
        if self.0.len() == 1 { self.0.first_key_value() } else { None }
    }

    fn negated(&self) -> Poly {
        Poly(self.0.iter().map(|(mono, value)| (mono.clone(), -value.clone())).collect())
    }

    fn scaled(&self, by: &RBig) -> Poly {
        Poly(self.0.iter().map(|(mono, value)| (mono.clone(), value.clone() * by)).collect())
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

    /// Whether it is a whole number wherever its variables are.
    pub(crate) fn is_whole(&self) -> bool {
        let whole = |factor: &Factor| {
            factor.over.is_none() && factor.power.is_integer() && matches!(factor.base, Base::Symbol(_))
        };
        self.0.iter().all(|(mono, value)| {
            value.is_int() && mono.0.iter().all(|factor| whole(factor) && factor.power.above > 0)
        })
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

fn mono_factors(mono: &Mono, visit: &mut dyn FnMut(&Factor) -> bool) -> bool {
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

impl Frac {
    fn poly(above: Poly) -> Frac {
        Frac { above, below: None }
    }

    pub(crate) fn rational(value: RBig) -> Frac {
        Frac::poly(Poly::rational(value))
    }

    pub(crate) fn as_rational(&self) -> Option<RBig> {
        if self.below.is_some() { None } else { self.above.as_rational() }
    }

    fn is_constant(&self) -> bool {
        self.above.is_constant() && self.below.as_ref().is_none_or(Poly::is_constant)
    }
}

/// A product in canonical form: its rational part, its atoms, and whole powers of groups still to multiply
/// out.
type Settled = (RBig, Mono, Vec<(Rc<Poly>, u64)>);

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
    pub(crate) fn new(budget: &'b Budget) -> Formal<'b> {
        Formal { budget, fuel: Fuel::new(budget), divisors: Vec::new(), in_angle: false }
    }

    /// The canonical form of a value.
    pub(crate) fn value(&mut self, ast: &Ast) -> Step<Frac> {
        self.fuel.take(1)?;
        Ok(match ast {
            Ast::Number(number) => Frac::rational(number.value.clone()),
            Ast::Based(digits, base) => {
                let value = UBig::from_str_radix(digits, *base)
                    .map_err(|_| Stop::Unsupported("a digit outside its base"))?;
                Frac::rational(RBig::from(value))
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

    // ---- arithmetic ----

    fn sized(&self, value: &RBig) -> Step<()> {
        let bits = self.budget.bits;
        if value.numerator().bit_len() > bits || value.denominator().bit_len() > bits {
            return Err(Stop::Limit("size of an exact number"));
        }
        Ok(())
    }

    fn add_term(&mut self, poly: &mut Poly, mono: Mono, value: RBig) -> Step<()> {
        use std::collections::btree_map::Entry;
        match poly.0.entry(mono) {
            Entry::Vacant(entry) => {
                if !value.is_zero() {
                    entry.insert(value);
                }
            }
            Entry::Occupied(mut entry) => {
                *entry.get_mut() += value;
                self.sized(entry.get())?;
                if entry.get().is_zero() {
                    entry.remove();
                }
            }
        }
        if poly.0.len() > self.budget.terms { Err(Stop::Limit("terms of a sum")) } else { Ok(()) }
    }

    fn add_poly(&mut self, mut a: Poly, b: Poly) -> Step<Poly> {
        self.fuel.take(b.0.len() as u64 / 4)?;
        if a.0.len() < b.0.len() {
            return self.add_poly_into(b, a);
        }
        for (mono, value) in b.0 {
            self.add_term(&mut a, mono, value)?;
        }
        Ok(a)
    }

    fn add_poly_into(&mut self, mut large: Poly, small: Poly) -> Step<Poly> {
        for (mono, value) in small.0 {
            self.add_term(&mut large, mono, value)?;
        }
        Ok(large)
    }

    fn add(&mut self, a: Frac, b: Frac) -> Step<Frac> {
        if a.below == b.below {
            let above = self.add_poly(a.above, b.above)?;
            return Ok(reduced(above, a.below));
        }
        let left = self.times_optional(&a.above, b.below.as_ref())?;
        let right = self.times_optional(&b.above, a.below.as_ref())?;
        let above = self.add_poly(left, right)?;
        let below = match (a.below, b.below) {
            (Some(a), Some(b)) => Some(self.times_poly(&a, &b)?),
            (a, b) => a.or(b),
        };
        self.ratio(above, below)
    }

    fn times_optional(&mut self, a: &Poly, b: Option<&Poly>) -> Step<Poly> {
        match b {
            Some(b) => self.times_poly(a, b),
            None => Ok(a.clone()),
        }
    }

    pub(crate) fn times_poly(&mut self, a: &Poly, b: &Poly) -> Step<Poly> {
        self.fuel.take(a.0.len() as u64 * b.0.len() as u64)?;
        let mut product = Poly::default();
        for (left, x) in &a.0 {
            for (right, y) in &b.0 {
                let (value, mono, groups) = self.times_mono(left, right, x * y)?;
                self.sized(&value)?;
                if groups.is_empty() {
                    self.add_term(&mut product, mono, value)?;
                } else {
                    let mut extra = Poly::term(value, mono);
                    for (group, power) in groups {
                        let group = self.integer_power(&group, power)?;
                        extra = self.times_poly(&extra, &group)?;
                    }
                    product = self.add_poly(product, extra)?;
                }
            }
        }
        Ok(product)
    }

    /// The product of two products: its rational part, its atoms, and whole powers of groups to multiply out.
    fn times_mono(&mut self, a: &Mono, b: &Mono, value: RBig) -> Step<Settled> {
        if b.is_one() {
            return Ok((value, a.clone(), Vec::new()));
        }
        if a.is_one() {
            return Ok((value, b.clone(), Vec::new()));
        }
        let mut factors: Vec<Factor> = Vec::with_capacity(a.0.len() + b.0.len());
        let (mut left, mut right) = (a.0.iter().peekable(), b.0.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some(x), Some(y)) => (&x.base, &x.over).cmp(&(&y.base, &y.over)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            match order {
                Ordering::Less => factors.extend(left.next().cloned()),
                Ordering::Greater => factors.extend(right.next().cloned()),
                Ordering::Equal => {
                    if let (Some(x), Some(y)) = (left.next(), right.next()) {
                        let power = x.power.add(y.power)?;
                        factors.push(Factor { base: x.base.clone(), over: x.over.clone(), power });
                    }
                }
            }
        }
        self.settle(value, factors)
    }

    /// Brings merged factors to canonical form: no zero powers, i to the first power at most, roots of sums
    /// below the first power, and whole powers of primes either all in the coefficient or, where that would
    /// be too long a number, all (those of the coefficient too) in the factors.
    fn settle(&mut self, mut value: RBig, mut factors: Vec<Factor>) -> Step<Settled> {
        let mut groups = Vec::new();
        let mut whole_bits = 0.0;
        for factor in &mut factors {
            match &factor.base {
                Base::Imaginary if factor.over.is_none() && factor.power.is_integer() => {
                    let quarter = factor.power.above.rem_euclid(4);
                    if quarter >= 2 {
                        value = -value;
                    }
                    factor.power.above = quarter % 2;
                }
                Base::Group(group) if factor.over.is_none() && factor.power.floor() > 0 => {
                    groups.push((group.clone(), factor.power.floor() as u64));
                    factor.power = factor.power.fraction();
                }
                // By convention a symbolic exponent of -1 is a whole number.
                Base::MinusOne => {
                    let two = 2 * factor.power.below;
                    factor.power = Exponent::new(factor.power.above.rem_euclid(two), factor.power.below)?;
                }
                Base::Euler if is_i_pi(factor.over.as_deref()) => {
                    // e^(i pi r): r modulo 2 into [0, 1) with the sign outside, e^(i pi / 2) = i below.
                    let turns = Exponent::new(
                        factor.power.above.rem_euclid(2 * factor.power.below),
                        factor.power.below,
                    )?;
                    if turns.floor() == 1 {
                        value = -value;
                    }
                    factor.power = turns.fraction();
                }
                Base::Prime(prime) if factor.over.is_none() => {
                    whole_bits += factor.power.floor().unsigned_abs() as f64 * (*prime as f64).log2();
                }
                Base::Cofactor(number) if factor.over.is_none() => {
                    whole_bits += factor.power.floor().unsigned_abs() as f64 * number.bit_len() as f64;
                }
                _ => {}
            }
        }
        factors.retain(|factor| !factor.power.is_zero());
        if whole_bits > 0.0 {
            let held = (value.numerator().bit_len() + value.denominator().bit_len()) as f64;
            if whole_bits + held <= self.budget.bits as f64 {
                for factor in &mut factors {
                    let number = match &factor.base {
                        Base::Prime(prime) if factor.over.is_none() => UBig::from(*prime),
                        Base::Cofactor(number) if factor.over.is_none() => number.clone(),
                        _ => continue,
                    };
                    let whole = factor.power.floor();
                    let power = RBig::from(number.pow(whole.unsigned_abs() as usize));
                    value = if whole >= 0 { value * power } else { value / power };
                    factor.power = factor.power.fraction();
                }
                factors.retain(|factor| !factor.power.is_zero());
            } else if value != RBig::ONE && value != -RBig::ONE {
                self.fuel.take(200)?;
                let sign = if is_negative(&value) { -RBig::ONE } else { RBig::ONE };
                let extra = prime_factors(&value, Exponent::ONE)?;
                return self.times_mono(&Mono(factors), &Mono(extra), sign);
            }
        }
        Ok((value, Mono(factors), groups))
    }

    pub(crate) fn times(&mut self, a: &Frac, b: &Frac) -> Step<Frac> {
        let above = self.times_poly(&a.above, &b.above)?;
        let below = match (&a.below, &b.below) {
            (Some(a), Some(b)) => Some(self.times_poly(a, b)?),
            (a, b) => a.clone().or(b.clone()),
        };
        self.ratio(above, below)
    }

    /// `above / below` with a one-term divisor moved into the dividend and the leading coefficient of a
    /// longer one made 1.
    fn ratio(&mut self, above: Poly, below: Option<Poly>) -> Step<Frac> {
        let Some(below) = below else { return Ok(Frac::poly(above)) };
        if above.is_zero() {
            return Ok(Frac::poly(above));
        }
        if above == below {
            return Ok(Frac::rational(RBig::ONE));
        }
        if let Some((mono, value)) = below.single() {
            let (inverse, rest) = self.inverse_term(mono, value)?;
            let above = self.times_poly(&above, &inverse)?;
            return match rest {
                None => Ok(Frac::poly(above)),
                Some(rest) => self.ratio(above, Some(rest)),
            };
        }
        let Some(lead) = below.0.values().next_back() else {
            return Err(Stop::Undefined("division by zero"));
        };
        let scale = RBig::ONE / lead.clone();
        Ok(Frac { above: above.scaled(&scale), below: Some(below.scaled(&scale)) })
    }

    /// `1 / (value * mono)` as a term, and the sum that stays below where a root of a sum was inverted:
    /// 1/sqrt(P) = sqrt(P)/P.
    fn inverse_term(&mut self, mono: &Mono, value: &RBig) -> Step<(Poly, Option<Poly>)> {
        let mut factors = Vec::with_capacity(mono.0.len());
        let mut below: Option<Poly> = None;
        for factor in &mono.0 {
            let power = factor.power.negated();
            if let (Base::Group(group), None) = (&factor.base, &factor.over) {
                factors.push(Factor { power: power.fraction(), ..factor.clone() });
                let outside = self.integer_power(group, power.floor().unsigned_abs())?;
                below = Some(match below {
                    None => outside,
                    Some(below) => self.times_poly(&below, &outside)?,
                });
            } else {
                factors.push(Factor { power, ..factor.clone() });
            }
        }
        let (value, mono, _) = self.settle(RBig::ONE / value.clone(), factors)?;
        Ok((Poly::term(value, mono), below))
    }

    pub(crate) fn divide(&mut self, a: &Frac, b: &Frac) -> Step<Frac> {
        if b.above.is_zero() {
            return Err(Stop::Undefined("division by zero"));
        }
        self.note_divisor(&b.above);
        let above = self.times_optional(&a.above, b.below.as_ref())?;
        let below = match &a.below {
            Some(below) => self.times_poly(below, &b.above)?,
            None => b.above.clone(),
        };
        self.ratio(above, Some(below))
    }

    fn note_divisor(&mut self, divisor: &Poly) {
        if !divisor.is_independent() && !self.divisors.contains(divisor) {
            self.divisors.push(divisor.clone());
        }
    }

    /// `a - b`, zero exactly where the canonical forms agree (dividends over a common divisor).
    pub(crate) fn difference(&mut self, a: &Frac, b: &Frac) -> Step<Poly> {
        let left = self.times_optional(&a.above, b.below.as_ref())?;
        let right = self.times_optional(&b.above, a.below.as_ref())?;
        self.add_poly(left, right.negated())
    }

    pub(crate) fn minus(&mut self, a: &Frac, b: &Frac) -> Step<Frac> {
        self.add(a.clone(), Frac { above: b.above.negated(), below: b.below.clone() })
    }

    // ---- powers ----

    fn integer_power(&mut self, base: &Poly, power: u64) -> Step<Poly> {
        let mut result = Poly::rational(RBig::ONE);
        if let Some((mono, value)) = base.single() {
            let power = i64::try_from(power).map_err(|_| EXPONENT)?;
            return self.term_power(mono, value, power);
        }
        if power > self.budget.expand_power {
            return Err(Stop::Limit("power of a sum"));
        }
        let mut square = base.clone();
        let mut left = power;
        while left > 0 {
            if left & 1 == 1 {
                result = self.times_poly(&result, &square)?;
            }
            left >>= 1;
            if left > 0 {
                square = self.times_poly(&square, &square)?;
            }
        }
        Ok(result)
    }

    /// A whole power of one term, however large.
    fn term_power(&mut self, mono: &Mono, value: &RBig, power: i64) -> Step<Poly> {
        let exponent = Exponent::new(power, 1)?;
        let mut factors = Vec::with_capacity(mono.0.len() + 2);
        for factor in &mono.0 {
            factors.push(Factor { power: factor.power.times(exponent)?, ..factor.clone() });
        }
        let bits = value.numerator().bit_len().max(value.denominator().bit_len()) as u64;
        let unit = *value == RBig::ONE || *value == -RBig::ONE;
        let (value, mono, groups) =
            if unit || bits.saturating_mul(power.unsigned_abs()) <= self.budget.bits as u64 {
                let size = (if unit { power.rem_euclid(2) } else { power }).unsigned_abs() as usize;
                let raised = value.pow(size as isize);
                let raised = if power < 0 { RBig::ONE / raised } else { raised };
                self.settle(raised, factors)?
            } else {
                let sign = if is_negative(value) && power % 2 != 0 { -RBig::ONE } else { RBig::ONE };
                self.fuel.take(200)?;
                let primes = prime_factors(value, exponent)?;
                self.times_mono(&Mono(factors), &Mono(primes), sign)?
            };
        // One factor alone is taken as it is by `times_mono`; settle it here.
        let (value, mono, more) = self.settle(value, mono.0)?;
        let mut result = Poly::term(value, mono);
        for (group, power) in groups.into_iter().chain(more) {
            let group = self.integer_power(&group, power)?;
            result = self.times_poly(&result, &group)?;
        }
        Ok(result)
    }

    fn whole_power(&mut self, base: &Frac, power: i64) -> Step<Frac> {
        if base.above.is_zero() {
            return match power.cmp(&0) {
                Ordering::Greater => Ok(base.clone()),
                Ordering::Equal => Err(Stop::Undefined("zero to the power zero")),
                Ordering::Less => Err(Stop::Undefined("division by zero")),
            };
        }
        if power == 0 {
            self.note_divisor(&base.above);
            return Ok(Frac::rational(RBig::ONE));
        }
        let above = self.integer_power(&base.above, power.unsigned_abs())?;
        let below = match &base.below {
            Some(below) => Some(self.integer_power(below, power.unsigned_abs())?),
            None => None,
        };
        if power > 0 {
            return self.ratio(above, below);
        }
        self.note_divisor(&base.above);
        self.ratio(below.unwrap_or_else(|| Poly::rational(RBig::ONE)), Some(above))
    }

    fn rational_power(&mut self, base: &Frac, power: Exponent) -> Step<Frac> {
        if power.is_integer() {
            return self.whole_power(base, power.above);
        }
        let Some(below) = &base.below else { return self.root(&base.above, power) };
        let flip = below.is_constant() && !below.has_imaginary() && self.sign(below)? == Ordering::Less;
        let (above, below) =
            if flip { (base.above.negated(), below.negated()) } else { (base.above.clone(), below.clone()) };
        let above = self.root(&above, power)?;
        let below = self.root(&below, power)?;
        self.divide(&above, &below)
    }

    fn sign(&mut self, poly: &Poly) -> Step<Ordering> {
        if let Some(value) = poly.as_rational() {
            return Ok(value.cmp(&RBig::ZERO));
        }
        numeric::sign(poly, &mut self.fuel)
    }

    /// `base ^ power` for a power that is not whole.
    fn root(&mut self, base: &Poly, power: Exponent) -> Step<Frac> {
        if base.is_zero() {
            return if power.above > 0 {
                Ok(Frac::poly(Poly::default()))
            } else {
                Err(Stop::Undefined("division by zero"))
            };
        }
        if let Some((mono, value)) = base.single() {
            return self.term_root(mono, value, power);
        }
        let mut radicand = base.clone();
        let mut outside = Frac::rational(RBig::ONE);
        if base.is_constant() {
            if base.has_imaginary() && !self.is_real(base) {
                return Err(Stop::Unsupported("a root of a complex number"));
            }
            match self.sign(base)? {
                Ordering::Less => {
                    radicand = base.negated();
                    outside = self.minus_one_power(power)?;
                }
                Ordering::Equal => return Err(Stop::Limit("precision")),
                Ordering::Greater => {}
            }
            if power.below == 2
                && let Some(root) = self.denested(&radicand)?
            {
                let raised = self.whole_power(&root, power.above)?;
                return self.times(&outside, &raised);
            }
        }
        let content = content(&radicand);
        let radicand = radicand.scaled(&(RBig::ONE / content.clone()));
        let number = self.number_root(&content, power)?;
        let outside = self.times(&outside, &number)?;
        let group = self.group(radicand, power)?;
        self.times(&outside, &group)
    }

    /// A sum with i in it is real where its conjugate is itself.
    fn is_real(&mut self, poly: &Poly) -> bool {
        self.conjugate(poly).is_some_and(|other| other == *poly)
    }

    /// i becomes -i and e^(i x) becomes e^(-i x); `None` where i stands elsewhere.
    fn conjugate(&mut self, poly: &Poly) -> Option<Poly> {
        let mut result = Poly::default();
        for (mono, value) in &poly.0 {
            let mut value = value.clone();
            let mut factors = Vec::new();
            for factor in &mono.0 {
                let mut factor = factor.clone();
                if factor.base == Base::Imaginary {
                    value = -value;
                } else if let Some(over) = &factor.over {
                    let imaginary = over.0.iter().filter(|inner| inner.base == Base::Imaginary).count();
                    if imaginary == 1 {
                        factor.power = factor.power.negated();
                    } else if !mono_factors(over, &mut |inner| inner.base != Base::Imaginary) {
                        return None;
                    }
                } else if let Base::Group(group) = &factor.base
                    && group.has_imaginary()
                {
                    return None;
                }
                factors.push(factor);
            }
            let (value, mono, groups) = self.settle(value, factors).ok()?;
            if !groups.is_empty() {
                return None;
            }
            self.add_term(&mut result, mono, value).ok()?;
        }
        Some(result)
    }

    fn group(&mut self, radicand: Poly, power: Exponent) -> Step<Frac> {
        let whole = power.floor();
        let outside = self.whole_power(&Frac::poly(radicand.clone()), whole)?;
        let group = Mono::of(Base::Group(Rc::new(radicand)), power.fraction());
        self.times(&outside, &Frac::poly(Poly::term(RBig::ONE, group)))
    }

    /// `sqrt(a + s)` with s^2 and a^2 - s^2 = d^2 rational: sqrt((a+d)/2) +- sqrt((a-d)/2).
    fn denested(&mut self, radicand: &Poly) -> Step<Option<Frac>> {
        if radicand.0.len() != 2 || radicand.has_imaginary() {
            return Ok(None);
        }
        let Some(a) = radicand.0.get(&Mono::default()).cloned() else { return Ok(None) };
        let Some((mono, value)) = radicand.0.iter().find(|(mono, _)| !mono.is_one()) else { return Ok(None) };
        let (mono, value) = (mono.clone(), value.clone());
        let surd = Poly::term(value.clone(), mono);
        let Some(square) = self.times_poly(&surd, &surd)?.as_rational() else { return Ok(None) };
        let Some(d) = exact_square_root(&(a.clone() * &a - square)) else { return Ok(None) };
        let half = RBig::from_parts(1.into(), 2_u8.into());
        let (p, q) = ((a.clone() + &d) * &half, (a - d) * half);
        if is_negative(&p) || is_negative(&q) {
            return Ok(None);
        }
        let power = Exponent::new(1, 2)?;
        let first = self.number_root(&p, power)?;
        let second = self.number_root(&q, power)?;
        let second = if is_negative(&value) { Frac::poly(second.above.negated()) } else { second };
        Ok(Some(self.add(first, second)?))
    }

    /// `value ^ power` of a rational number that is not negative.
    fn number_root(&mut self, value: &RBig, power: Exponent) -> Step<Frac> {
        if value.is_zero() {
            return Ok(Frac::rational(RBig::ZERO));
        }
        if *value == RBig::ONE {
            return Ok(Frac::rational(RBig::ONE));
        }
        self.fuel.take(20)?;
        let factors = prime_factors(value, power)?;
        let (value, mono, _) = self.settle(RBig::ONE, factors)?;
        Ok(Frac::poly(Poly::term(value, mono)))
    }

    /// (-1)^r: real for odd roots, else e^(i pi r).
    fn minus_one_power(&mut self, power: Exponent) -> Step<Frac> {
        if power.below % 2 == 1 {
            let sign = if power.above % 2 == 0 { RBig::ONE } else { -RBig::ONE };
            return Ok(Frac::rational(sign));
        }
        self.turn(power)
    }

    fn term_root(&mut self, mono: &Mono, value: &RBig, power: Exponent) -> Step<Frac> {
        if power.above < 0 {
            self.note_divisor(&Poly::term(value.clone(), mono.clone()));
        }
        let even = power.below % 2 == 0;
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        for factor in &mono.0 {
            if factor.base == Base::Imaginary {
                return Err(Stop::Unsupported("a root of a complex number"));
            }
            let positive = !even || is_positive(factor);
            if positive {
                known.push(Factor { power: factor.power.times(power)?, ..factor.clone() });
            } else {
                unknown.push(factor.clone());
            }
        }
        let mut result = self.number_root(&value.clone().abs(), power)?;
        let negative = is_negative(value);
        if unknown.is_empty() {
            if negative {
                let sign = self.minus_one_power(power)?;
                result = self.times(&result, &sign)?;
            }
        } else if let ([factor], false) = (unknown.as_slice(), negative)
            && factor.over.is_none()
            && factor.power.above % 2 != 0
        {
            known.push(Factor { power: factor.power.times(power)?, ..factor.clone() });
            known.sort();
        } else {
            let sign = if negative { -RBig::ONE } else { RBig::ONE };
            let group = self.group(Poly::term(sign, Mono(unknown)), power)?;
            result = self.times(&result, &group)?;
        }
        let (value, mono, groups) = self.settle(RBig::ONE, known)?;
        result = self.times(&result, &Frac::poly(Poly::term(value, mono)))?;
        for (group, whole) in groups {
            let group = self.integer_power(&group, whole)?;
            result = self.times(&result, &Frac::poly(group))?;
        }
        Ok(result)
    }

    fn power(&mut self, base: &Frac, exponent: &Frac) -> Step<Frac> {
        if let Some(exponent) = exponent.as_rational() {
            return match Exponent::from_rational(&exponent) {
                Ok(exponent) => self.rational_power(base, exponent),
                Err(stop) => match base.as_rational() {
                    Some(one) if one == RBig::ONE => Ok(base.clone()),
                    _ => Err(stop),
                },
            };
        }
        if exponent.below.is_some() {
            return Err(Stop::Unsupported("an exponent with a sum in its denominator"));
        }
        if base.above.is_zero() {
            return Err(Stop::Unsupported("zero to a symbolic power"));
        }
        let mut result = Frac::rational(RBig::ONE);
        for (over, value) in &exponent.above.0 {
            let raised = if over.is_one() {
                match Exponent::from_rational(value) {
                    Ok(power) => self.rational_power(base, power)?,
                    Err(stop) => return Err(stop),
                }
            } else {
                let power = Exponent::from_rational(value)?;
                let above = self.symbolic_power(&base.above, over, power)?;
                match &base.below {
                    None => above,
                    Some(below) => {
                        let below = self.symbolic_power(below, over, power)?;
                        self.divide(&above, &below)?
                    }
                }
            };
            result = self.times(&result, &raised)?;
        }
        Ok(result)
    }

    /// `base ^ (power * over)`.
    fn symbolic_power(&mut self, base: &Poly, over: &Mono, power: Exponent) -> Step<Frac> {
        self.note_divisor(base);
        let over = Rc::new(over.clone());
        let Some((mono, value)) = base.single() else {
            let group = Base::Group(Rc::new(base.clone()));
            let factor = Factor { base: group, over: Some(over), power };
            return Ok(Frac::poly(Poly::term(RBig::ONE, Mono(vec![factor]))));
        };
        if is_i_pi(Some(&over)) && mono.0.len() == 1 && *value == RBig::ONE {
            let factor = &mono.0[0];
            if factor.base == Base::Euler && factor.over.is_none() {
                return self.turn(power.times(factor.power)?);
            }
        }
        let mut factors = Vec::new();
        if is_negative(value) {
            factors.push(Factor { base: Base::MinusOne, over: Some(over.clone()), power });
        }
        let number = value.clone().abs();
        if number != RBig::ONE {
            self.fuel.take(20)?;
            for factor in prime_factors(&number, power)? {
                factors.push(Factor { over: Some(over.clone()), ..factor });
            }
        }
        for factor in &mono.0 {
            let power = factor.power.times(power)?;
            match (&factor.base, &factor.over) {
                (Base::Imaginary, _) => return Err(Stop::Unsupported("a symbolic power of i")),
                (_, None) => factors.push(Factor { over: Some(over.clone()), power, ..factor.clone() }),
                (Base::Euler | Base::Pi | Base::Prime(_) | Base::Symbol(_), Some(inner)) => {
                    let (scale, product, groups) = self.times_mono(inner, &over, RBig::ONE)?;
                    if !groups.is_empty() {
                        return Err(Stop::Unsupported("a power of a power"));
                    }
                    let power = power.times(Exponent::from_rational(&scale)?)?;
                    let over = if product.is_one() { None } else { Some(Rc::new(product)) };
                    factors.push(Factor { base: factor.base.clone(), over, power });
                }
                _ => return Err(Stop::Unsupported("a power of a power")),
            }
        }
        factors.sort();
        let (value, mono, _) = self.settle(RBig::ONE, factors)?;
        Ok(Frac::poly(Poly::term(value, mono)))
    }

    /// e^(i pi r), with roots for multiples of 15 and of 36 degrees.
    fn turn(&mut self, turns: Exponent) -> Step<Frac> {
        let negative = turns.floor().rem_euclid(2) == 1;
        let rest = turns.fraction();
        let scale = match rest.below {
            1 | 2 | 3 | 4 | 6 | 12 => 12 / rest.below,
            _ => 0,
        };
        let value = if scale == 0 {
            let over = Mono(vec![
                Factor { base: Base::Imaginary, over: None, power: Exponent::ONE },
                Factor { base: Base::Pi, over: None, power: Exponent::ONE },
            ]);
            let factor = Factor { base: Base::Euler, over: Some(Rc::new(over)), power: rest };
            Poly::term(RBig::ONE, Mono(vec![factor]))
        } else {
            let twelfth = rest.above * scale;
            let cosine = cosine_of_twelfth(twelfth);
            let sine = cosine_of_twelfth(6 - twelfth);
            let i = Poly::term(RBig::ONE, Mono::of(Base::Imaginary, Exponent::ONE));
            let imaginary = self.times_poly(&sine, &i)?;
            self.add_poly(cosine, imaginary)?
        };
        Ok(Frac::poly(if negative { value.negated() } else { value }))
    }

    // ---- functions ----

    fn call(&mut self, function: &Function, arguments: &[Ast]) -> Step<Frac> {
        use Function::*;
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
            Named(_) => Ok(atom(Base::Call(function.clone(), Rc::new(values)))),
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

    fn sine(&mut self, x: &Frac) -> Step<Frac> {
        let Some((forward, backward)) = self.turns_by(x)? else { return Ok(opaque(Function::Sin, x)) };
        let sum = self.minus(&forward, &backward)?;
        let half = Frac::poly(Poly::term(
            RBig::from_parts((-1).into(), 2_u8.into()),
            Mono::of(Base::Imaginary, Exponent::ONE),
        ));
        self.times(&sum, &half)
    }

    fn cosine(&mut self, x: &Frac) -> Step<Frac> {
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
    fn inverse(&mut self, function: &Function, x: &Frac) -> Step<Frac> {
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
            self.fuel.take(20)?;
            for factor in prime_factors(value, power)? {
                let mono = match &factor.base {
                    Base::Prime(prime) => Mono::of(Base::LnPrime(*prime), Exponent::ONE),
                    Base::Cofactor(number) => {
                        let argument = Frac::rational(RBig::from(number.clone()));
                        Mono::of(Base::Call(Function::Ln, Rc::new(vec![argument])), Exponent::ONE)
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

    fn factorial(&mut self, x: Frac) -> Step<Frac> {
        let Some(value) = x.as_rational() else {
            return Ok(opaque(Function::Named(FACTORIAL.into()), &x));
        };
        if !value.is_int() {
            return Err(Stop::Unsupported("a factorial of what is not a whole number"));
        }
        let n = u64::try_from(value.numerator()).map_err(|_| Stop::Undefined("a factorial below zero"))?;
        let mut powers = BTreeMap::new();
        self.add_factorial(&mut powers, n, 1)?;
        self.product_of_primes(powers)
    }

    fn binomial(&mut self, above: &Frac, below: &Frac) -> Step<Frac> {
        let whole =
            |x: &Frac| x.as_rational().filter(RBig::is_int).and_then(|v| u64::try_from(v.numerator()).ok());
        let (Some(n), Some(k)) = (whole(above), whole(below)) else {
            let pair = Rc::new(vec![above.clone(), below.clone()]);
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

fn is_negative(value: &RBig) -> bool {
    value.sign() == Sign::Negative
}

fn atom(base: Base) -> Frac {
    Frac::poly(Poly::term(RBig::ONE, Mono::of(base, Exponent::ONE)))
}

fn opaque(function: Function, x: &Frac) -> Frac {
    atom(Base::Call(function, Rc::new(vec![x.clone()])))
}

fn reduced(above: Poly, below: Option<Poly>) -> Frac {
    let below = if above.is_zero() { None } else { below };
    Frac { above, below }
}

fn is_i_pi(over: Option<&Mono>) -> bool {
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
fn is_positive(factor: &Factor) -> bool {
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

/// The positive rational c with poly / c of coprime whole coefficients.
fn content(poly: &Poly) -> RBig {
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

/// cos(k pi / 12) for any k.
fn cosine_of_twelfth(k: i64) -> Poly {
    let k = k.rem_euclid(24);
    let k = if k > 12 { 24 - k } else { k };
    let (k, negative) = if k > 6 { (12 - k, true) } else { (k, false) };
    let half = Exponent { above: 1, below: 2 };
    let root = |primes: &[u64]| {
        Mono(primes.iter().map(|&p| Factor { base: Base::Prime(p), over: None, power: half }).collect())
    };
    let over = |above: i64, below: u8| RBig::from_parts(IBig::from(above), UBig::from(below));
    let poly = match k {
        0 => Poly::rational(RBig::ONE),
        1 => Poly([(root(&[2, 3]), over(1, 4)), (root(&[2]), over(1, 4))].into_iter().collect()),
        2 => Poly::term(over(1, 2), root(&[3])),
        3 => Poly::term(over(1, 2), root(&[2])),
        4 => Poly::rational(over(1, 2)),
        5 => Poly([(root(&[2, 3]), over(1, 4)), (root(&[2]), over(-1, 4))].into_iter().collect()),
        _ => Poly::default(),
    };
    if negative { poly.negated() } else { poly }
}

fn exact_square_root(value: &RBig) -> Option<RBig> {
    if is_negative(value) {
        return None;
    }
    let above = exact_root(&value.numerator().clone().unsigned_abs(), 2)?;
    let below = exact_root(value.denominator(), 2)?;
    Some(RBig::from_parts(IBig::from(above), below))
}

fn exact_root(value: &UBig, n: usize) -> Option<UBig> {
    let root = value.nth_root(n);
    if root.pow(n) == *value { Some(root) } else { None }
}

const SMALL_PRIME_LIMIT: u64 = 1021;

/// The prime factors of |value|, each to its multiplicity times `power`, sorted.
fn prime_factors(value: &RBig, power: Exponent) -> Step<Vec<Factor>> {
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
