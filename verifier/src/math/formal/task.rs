//! Functions that set a task and are no closed form: determinants, greatest divisors, least multiples, the largest of
//! some numbers, remainders. Golds may hold them; whether an answer may is the profile's policy.
//!
//! Proven: the value, by definition (Laplace's expansion, Euclid, signs of differences).

use super::Formal;
use super::form::Frac;
use crate::math::ast::{Ast, Function};
use crate::math::budget::{Step, Stop};
use dashu_int::IBig;
use dashu_int::ops::{Gcd, UnsignedAbs};
use dashu_ratio::RBig;
use std::cmp::Ordering;

/// Laplace's expansion takes n! products.
const LARGEST_DETERMINANT: usize = 6;

const WHOLE: Stop = Stop::Unsupported("a function of whole numbers with another argument");

impl Formal<'_> {
    pub(super) fn task(&mut self, function: &Function, arguments: &[Ast]) -> Step<Frac> {
        if let (Function::Determinant, [Ast::Matrix(rows)]) = (function, arguments) {
            return self.determinant(rows);
        }
        let values = arguments.iter().map(|argument| self.value(argument)).collect::<Step<Vec<Frac>>>()?;
        match function {
            Function::Largest => self.outermost(values, Ordering::Greater),
            Function::Smallest => self.outermost(values, Ordering::Less),
            _ => whole_task(function, &values),
        }
    }

    fn determinant(&mut self, rows: &[Vec<Ast>]) -> Step<Frac> {
        if rows.iter().any(|row| row.len() != rows.len()) {
            return Err(Stop::Undefined("the determinant of a matrix that is not square"));
        }
        if rows.len() > LARGEST_DETERMINANT {
            return Err(Stop::Limit("size of a determinant"));
        }
        let cells = rows.iter().map(|row| row.iter().map(|cell| self.value(cell)).collect());
        let cells = cells.collect::<Step<Vec<Vec<Frac>>>>()?;
        let columns: Vec<usize> = (0..rows.len()).collect();
        self.minor(&cells, &columns)
    }

    /// The determinant of the last rows, as many as columns are left.
    fn minor(&mut self, cells: &[Vec<Frac>], columns: &[usize]) -> Step<Frac> {
        let mut sum = Frac::rational(RBig::ZERO);
        let Some(row) = cells.len().checked_sub(columns.len()).and_then(|at| cells.get(at)) else {
            return Ok(Frac::rational(RBig::ONE));
        };
        for (at, &column) in columns.iter().enumerate() {
            if row[column].above.is_zero() {
                continue;
            }
            let rest: Vec<usize> = columns.iter().copied().filter(|&other| other != column).collect();
            let minor = self.minor(cells, &rest)?;
            let term = self.times(&row[column], &minor)?;
            sum = if at % 2 == 0 { self.add(sum, term)? } else { self.minus(&sum, &term)? };
        }
        Ok(sum)
    }

    fn outermost(&mut self, values: Vec<Frac>, wanted: Ordering) -> Step<Frac> {
        let mut values = values.into_iter();
        let mut best = values.next().ok_or(Stop::Unsupported("a function without an argument"))?;
        for value in values {
            let difference = self.minus(&value, &best)?;
            let constant = difference.below.is_none() && difference.above.is_constant();
            if !constant || difference.above.has_imaginary() {
                return Err(Stop::Unsupported("the largest or smallest of what is not a number"));
            }
            if self.sign(&difference.above)? == wanted {
                best = value;
            }
        }
        Ok(best)
    }
}

fn whole_task(function: &Function, values: &[Frac]) -> Step<Frac> {
    let whole = |value: &Frac| {
        let value = value.as_rational().filter(RBig::is_int)?;
        Some(value.numerator().clone())
    };
    let numbers = values.iter().map(whole).collect::<Option<Vec<IBig>>>().ok_or(WHOLE)?;
    let value = match (function, numbers.as_slice()) {
        (Function::Remainder, [number, modulus]) if *modulus > IBig::ZERO => {
            let rest = number % modulus;
            if rest < IBig::ZERO { rest + modulus } else { rest }
        }
        (Function::GreatestDivisor, [first, others @ ..]) if numbers.iter().all(|n| *n != IBig::ZERO) => {
            IBig::from(
                others.iter().fold(first.clone().unsigned_abs(), |a, b| a.gcd(b.clone().unsigned_abs())),
            )
        }
        (Function::LeastMultiple, [first, others @ ..]) if numbers.iter().all(|n| *n != IBig::ZERO) => {
            IBig::from(others.iter().fold(first.clone().unsigned_abs(), |a, b| {
                let b = b.clone().unsigned_abs();
                let common = (&a).gcd(&b);
                a / common * b
            }))
        }
        _ => return Err(WHOLE),
    };
    Ok(Frac::rational(RBig::from(value)))
}
