//! Where logarithms and inverse functions are defined. Canonical forms and intervals compare values where both
//! sides have one: ln(x^2) and 2 ln x agree for every x above zero, and only there is the second defined.
//!
//! What is proven: at one of the fixed points everything that must not be negative on one side is above zero,
//! and something on the other side is below. By convention neither points left out one by one (x^2/x at 0) nor
//! roots count: `\sqrt{x}\sqrt{y}` is `\sqrt{xy}` wherever both are real, as formulas full of roots mean it.

use super::ast::{Ast, Function};
use super::budget::{Budget, Fuel, Step};
use super::formal::{Formal, Frac};
use super::numeric;
use dashu_ratio::RBig;
use std::cmp::Ordering;

/// Whether one side is proven to be defined at a point where the other is proven not to be.
pub(crate) fn differ(gold: &[&Ast], answer: &[&Ast], budget: &Budget, fuel: &mut Fuel) -> Step<bool> {
    let mut formal = Formal::new(budget, std::mem::take(fuel));
    let differ = differ_with(&mut formal, gold, answer);
    *fuel = formal.fuel;
    differ
}

fn differ_with(formal: &mut Formal<'_>, gold: &[&Ast], answer: &[&Ast]) -> Step<bool> {
    let (gold, answer) = (bounds(formal, gold)?, bounds(formal, answer)?);
    let only = |these: &[Frac], others: &[Frac]| -> Vec<Frac> {
        these.iter().filter(|bound| !others.contains(bound)).cloned().collect()
    };
    let (only_gold, only_answer) = (only(&gold, &answer), only(&answer, &gold));
    if only_gold.is_empty() && only_answer.is_empty() {
        return Ok(false);
    }
    let fuel = &mut formal.fuel;
    for point in 0..numeric::POINTS {
        let (a, b) = (defined(&gold, point, fuel)?, defined(&answer, point, fuel)?);
        if a.zip(b).is_some_and(|(a, b)| a != b) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether all bounds hold at a point; `None` where that is not clear.
fn defined(bounds: &[Frac], point: u64, fuel: &mut Fuel) -> Step<Option<bool>> {
    let mut clear = true;
    for bound in bounds {
        match numeric::sign_at(bound, point, fuel)? {
            Some(Ordering::Less) => return Ok(Some(false)),
            Some(Ordering::Greater) => {}
            _ => clear = false,
        }
    }
    Ok(clear.then_some(true))
}

/// Everything with variables that must not be negative for these values to be real.
fn bounds(formal: &mut Formal<'_>, values: &[&Ast]) -> Step<Vec<Frac>> {
    let mut found = Vec::new();
    for value in values {
        collect(formal, value, &mut found)?;
    }
    Ok(found)
}

fn collect(formal: &mut Formal<'_>, ast: &Ast, found: &mut Vec<Frac>) -> Step<()> {
    for part in ast.parts() {
        collect(formal, part, found)?;
    }
    match ast {
        Ast::Call(Function::Ln | Function::Log | Function::LogBase, arguments) => {
            for argument in arguments {
                let argument = formal.value(argument)?;
                add(argument, found);
            }
        }
        Ast::Call(Function::ArcSin | Function::ArcCos, arguments) => {
            for argument in arguments {
                let (argument, one) = (formal.value(argument)?, Frac::rational(RBig::ONE));
                let above = formal.minus(&one, &argument)?;
                let minus_one = Frac::rational(-RBig::ONE);
                let below = formal.minus(&argument, &minus_one)?;
                add(above, found);
                add(below, found);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Constants are left out: what has no value at all was met before.
fn add(bound: Frac, found: &mut Vec<Frac>) {
    let constant = bound.above.is_constant() && bound.below.as_ref().is_none_or(|below| below.is_constant());
    if !constant && !found.contains(&bound) {
        found.push(bound);
    }
}
