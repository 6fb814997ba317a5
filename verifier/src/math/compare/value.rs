//! Single values with their units: down the tiers from plain numbers to canonical forms, identities and intervals.

use super::{Comparison, Found, SAME};
use crate::math::ast::Ast;
use crate::math::budget::Stop;
use crate::math::formal::{Frac, Poly};
use crate::math::identity::Identity;
use crate::math::numeric::Finding;
use crate::math::parse::is_infinite;
use crate::math::tolerance::Written;
use crate::math::units::Unit;
use crate::math::{Proof, identity, numeric};
use dashu_ratio::RBig;

/// A value and its unit; degrees are a unit, a percent sign is not (it changes the value).
pub(super) fn without_unit(ast: &Ast) -> (&Ast, Option<Unit>) {
    match ast {
        Ast::Quantity(inner, unit) => (inner, Some(unit.clone())),
        Ast::Degrees(inner) => (inner, Some(Unit::degrees())),
        _ => (ast, None),
    }
}

pub(super) fn scaled(value: &Ast, factor: &RBig) -> Ast {
    let number = crate::math::ast::Number { value: factor.clone(), places: 0 };
    Ast::Product(vec![value.clone(), Ast::Number(number)])
}

/// Degrees in radians.
fn in_radians(value: &Ast) -> Ast {
    Ast::Product(vec![scaled(value, &RBig::from_parts(1.into(), 180_u8.into())), Ast::Pi])
}

fn negative_infinity(ast: &Ast) -> bool {
    match ast {
        Ast::Negative(inner) => !negative_infinity(inner),
        _ => false,
    }
}

/// Numerals with a base: the base is part of the answer. `None` where neither side has one.
fn numerals(gold: &Ast, answer: &Ast) -> Option<Found> {
    match (numeral(gold), numeral(answer)) {
        (None, None) => None,
        (Some((digits, base, sign)), Some((other_digits, other_base, other_sign))) => {
            let same = base == other_base
                && sign == other_sign
                && digits.trim_start_matches('0') == other_digits.trim_start_matches('0');
            Some(if same { SAME } else { Found::Different("another numeral or another base") })
        }
        _ => Some(Found::Different("a numeral with a base beside a number without")),
    }
}

/// Whether a number is written with a decimal point or a power of ten, and the digits behind the point.
fn decimal(ast: &Ast) -> (bool, u32) {
    match ast {
        Ast::Number(number) => (number.places > 0, number.places),
        Ast::Negative(inner) | Ast::Percent(inner) => decimal(inner),
        Ast::Power(base, _) => (**base == Ast::integer(10), 0),
        Ast::Product(factors) => {
            factors.iter().map(decimal).fold((false, 0), |all, one| (all.0 || one.0, all.1.max(one.1)))
        }
        _ => (false, 0),
    }
}

pub(super) fn numeral(ast: &Ast) -> Option<(&str, u32, bool)> {
    match ast {
        Ast::Based(digits, base) => Some((digits, *base, false)),
        Ast::Negative(inner) => numeral(inner).map(|(digits, base, sign)| (digits, base, !sign)),
        _ => None,
    }
}

impl Comparison<'_> {
    pub(super) fn quantities(&mut self, gold: &Ast, answer: &Ast) -> Found {
        if let Some(found) = numerals(gold, answer) {
            return found;
        }
        let (value, unit) = without_unit(gold);
        let (other, other_unit) = without_unit(answer);
        if let (Some(a), Some(b)) = (&unit, &other_unit) {
            match (a, b) {
                (
                    Unit::Known { dimension, factor },
                    Unit::Known { dimension: other_dimension, factor: other_factor },
                ) => {
                    if Unit::may_be_one_name(dimension, other_dimension) {
                        return Found::Unsupported("pounds of two kinds");
                    }
                    match (Unit::is_degrees(dimension), Unit::is_degrees(other_dimension)) {
                        (Some(true), Some(false)) => return self.values(&in_radians(value), other),
                        (Some(false), Some(true)) => return self.values(value, &in_radians(other)),
                        _ => {}
                    }
                    if dimension != other_dimension {
                        return Found::Different("a unit of another kind");
                    }
                    if factor != other_factor {
                        return self.values(&scaled(value, factor), &scaled(other, other_factor));
                    }
                }
                (Unit::Label(_), Unit::Label(_)) => {}
                (Unit::Label(label), _) | (_, Unit::Label(label)) if label.contains("unit") => {}
                _ => return Found::Unsupported("units that cannot be compared"),
            }
        }
        let found = self.values(value, other);
        if matches!(found, Found::Equal(_)) {
            return found;
        }
        // A gold in percent also takes the bare number of percent.
        match (value, other) {
            (Ast::Percent(inner), bare) if !matches!(bare, Ast::Percent(_)) => {
                self.values(inner, bare).or(found)
            }
            (bare, Ast::Percent(inner)) if self.profile.loose_percent => self.values(bare, inner).or(found),
            _ => found,
        }
    }

    pub(super) fn values(&mut self, gold: &Ast, answer: &Ast) -> Found {
        if let (Ast::Number(a), Ast::Number(b)) = (gold, answer) {
            if a.value == b.value {
                return SAME;
            }
            return self.rounded(gold, answer).unwrap_or(Found::Different("another number"));
        }
        if is_infinite(gold) || is_infinite(answer) {
            let same = is_infinite(gold)
                && is_infinite(answer)
                && negative_infinity(gold) == negative_infinity(answer);
            // `\infty + 1` is infinity to some, and no value to others.
            let in_arithmetic = |ast: &Ast| !is_infinite(ast) && ast.any(&is_infinite);
            return match same {
                true => SAME,
                false if in_arithmetic(gold) || in_arithmetic(answer) => {
                    Found::Unsupported("arithmetic with infinity")
                }
                false => Found::Different("infinity beside another value"),
            };
        }
        if let (Ast::Symbol(a), Ast::Symbol(b)) = (gold, answer) {
            return if a == b { SAME } else { Found::Different("another symbol") };
        }
        let found = match self.exact(gold, answer) {
            Ok(found) => found,
            Err(Stop::Limit(what)) => match identity::test(gold, answer, &mut self.work.identity) {
                Identity::Equal { bits } => Found::Equal(Proof::Identity { bits }),
                Identity::Different => Found::Different("another expression"),
                Identity::Unknown => Found::Limit(what),
            },
            Err(stop) => stop.into(),
        };
        match found {
            Found::Different(_) => self.rounded(gold, answer).unwrap_or(found),
            found => self.with_domain([gold], [answer], found),
        }
    }

    fn exact(&mut self, gold: &Ast, answer: &Ast) -> Result<Found, Stop> {
        let a = self.form(gold)?;
        let b = self.formal.value(answer)?;
        if let (Some(a), Some(b)) = (a.as_rational(), b.as_rational())
            && a != b
        {
            return Ok(Found::Different("another number"));
        }
        if a.above.has_log_unit() != b.above.has_log_unit() {
            return Ok(Found::Unsupported("a logarithm without a base"));
        }
        let difference = self.formal.difference(&a, &b)?;
        self.is_zero(&difference, "another value")
    }

    /// The canonical form of a value of the gold, worked out before where it is the whole gold.
    fn form(&mut self, gold: &Ast) -> Result<Frac, Stop> {
        match self.known {
            Some((value, form)) if std::ptr::eq(value, gold) => {
                let form = form.as_ref().map_err(Clone::clone)?;
                self.formal.divisors.extend(form.divisors.iter().cloned());
                Ok(form.value.clone())
            }
            _ => self.formal.value(gold),
        }
    }

    pub(super) fn is_zero(&mut self, difference: &Poly, reason: &'static str) -> Result<Found, Stop> {
        if difference.is_zero() {
            for divisor in std::mem::take(&mut self.formal.divisors) {
                if !numeric::is_nonzero(&divisor, &mut self.formal.fuel)? {
                    return Ok(Found::Limit("a divisor that may be zero"));
                }
            }
            return Ok(SAME);
        }
        if difference.is_independent() {
            return Ok(Found::Different(reason));
        }
        // log 100 + 1 is log 1000 to base ten and to no other.
        if !difference.is_same_for_every_base() {
            return Ok(Found::Unsupported("a logarithm without a base"));
        }
        Ok(match numeric::vanishes(difference, &mut self.formal.fuel)? {
            Finding::NonZero => Found::Different(reason),
            Finding::Vanishes(bits) => {
                for divisor in std::mem::take(&mut self.formal.divisors) {
                    if !numeric::is_nonzero(&divisor, &mut self.formal.fuel)? {
                        return Ok(Found::Limit("a divisor that may be zero"));
                    }
                }
                Found::Equal(Proof::Numeric { bits })
            }
            Finding::Unknown => Found::Limit("precision"),
        })
    }

    /// The policies of profiles that round decimals or allow a part of the gold.
    fn rounded(&mut self, gold: &Ast, answer: &Ast) -> Option<Found> {
        let (places, digits) = (self.profile.decimal_places, self.profile.relative_digits);
        let is_decimal = |ast: &Ast| match ast {
            Ast::Number(number) => number.places > 0,
            Ast::Negative(inner) => matches!(&**inner, Ast::Number(number) if number.places > 0),
            _ => false,
        };
        if let Some(most) = self.profile.absolute_error
            && let (Some(x), Some(y)) = (self.real(gold), self.real(answer))
            // A difference of exactly so much is one, which floats may miss.
            && (x - y).abs() <= most * (1.0 + 1e-9) + 1e-12 * x.abs()
        {
            return Some(Found::Equal(Proof::Tolerance));
        }
        if (places.is_none() && digits.is_none()) || (!is_decimal(gold) && !is_decimal(answer)) {
            return None;
        }
        let (x, y) = (self.real(gold)?, self.real(answer)?);
        let apart = (x - y).abs();
        if let Some(digits) = digits
            && apart <= 10_f64.powi(-(digits as i32)) * x.abs()
        {
            return Some(Found::Equal(Proof::Tolerance));
        }
        let places = places?;
        let scale = 10_f64.powi(places as i32);
        let same = (x * scale).round() == (y * scale).round() && apart <= 2.0 / scale * x.abs().max(y.abs());
        same.then_some(Found::Equal(Proof::Rounded { places }))
    }

    /// A real number as a tolerance rule sees it.
    pub(super) fn written(&mut self, ast: &Ast) -> Option<Written> {
        let value = self.real(ast)?;
        let (is_decimal, places) = decimal(without_unit(ast).0);
        Some(Written { value, is_decimal, places })
    }

    /// The real value as a float, for policies that ask for one.
    pub(super) fn real(&mut self, ast: &Ast) -> Option<f64> {
        if !ast.is_value() {
            return None;
        }
        let value = self.formal.value(without_unit(ast).0).ok()?;
        numeric::approximate(&value, &mut self.formal.fuel)
    }
}
