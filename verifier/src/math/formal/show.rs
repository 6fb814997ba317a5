//! A canonical form back to an expression that can be printed: what `--explain` shows beside the answer as it was read.

use super::form::{Base, Factor, Frac, Mono, Poly};
use crate::math::ast::{Ast, Function, Number};
use dashu_int::Sign;
use dashu_ratio::RBig;

/// The expression of a canonical form.
pub(crate) fn expression(form: &Frac) -> Ast {
    match &form.below {
        None => sum(&form.above),
        Some(below) => Ast::Quotient(Box::new(sum(&form.above)), Box::new(sum(below))),
    }
}

fn sum(poly: &Poly) -> Ast {
    let mut terms: Vec<Ast> = poly.0.iter().map(|(mono, value)| term(mono, value)).collect();
    match terms.len() {
        0 => Ast::integer(0),
        1 => terms.swap_remove(0),
        _ => Ast::Sum(terms),
    }
}

fn term(mono: &Mono, value: &RBig) -> Ast {
    let negative = value.sign() == Sign::Negative;
    let size = if negative { -value.clone() } else { value.clone() };
    let mut factors: Vec<Ast> = mono.0.iter().map(power).collect();
    if size != RBig::ONE || factors.is_empty() {
        factors.insert(0, number(&size));
    }
    let product = if factors.len() == 1 { factors.swap_remove(0) } else { Ast::Product(factors) };
    if negative { Ast::Negative(Box::new(product)) } else { product }
}

fn power(factor: &Factor) -> Ast {
    let base = base(&factor.base);
    let power = factor.power.to_rational();
    let exponent = match &factor.over {
        None if power == RBig::ONE => return base,
        None => number(&power),
        Some(over) => term(over, &power),
    };
    Ast::Power(Box::new(base), Box::new(exponent))
}

fn base(base: &Base) -> Ast {
    match base {
        Base::Imaginary => Ast::Imaginary,
        Base::MinusOne => Ast::integer(-1),
        Base::Prime(prime) => number(&RBig::from(*prime)),
        Base::Cofactor(value) => number(&RBig::from(value.clone())),
        Base::Pi => Ast::Pi,
        Base::Euler => Ast::Euler,
        Base::LogUnit => Ast::Call(Function::Ln, vec![Ast::Symbol("b".into())]),
        Base::LnPrime(prime) => Ast::Call(Function::Ln, vec![number(&RBig::from(*prime))]),
        Base::Symbol(name) => Ast::Symbol(name.clone()),
        Base::Group(group) => sum(group),
        Base::Call(function, arguments) => {
            let mut arguments: Vec<Ast> = arguments.iter().map(expression).collect();
            match function {
                Function::Named(name) if &**name == super::FACTORIAL => {
                    Ast::Factorial(Box::new(arguments.swap_remove(0)))
                }
                Function::Named(name) if &**name == super::BINOMIAL => {
                    Ast::Call(Function::Binomial, arguments)
                }
                function => Ast::Call(function.clone(), arguments),
            }
        }
    }
}

fn number(value: &RBig) -> Ast {
    let whole = |value: RBig| Ast::Number(Number { value, places: 0 });
    match value.is_int() {
        true => whole(value.clone()),
        false => Ast::Quotient(
            Box::new(whole(RBig::from(value.numerator().clone()))),
            Box::new(whole(RBig::from(value.denominator().clone()))),
        ),
    }
}
