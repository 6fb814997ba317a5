//! The outermost structure of an answer brought to one form: names split off, inequalities as intervals, plus-minus
//! as two values, arithmetic with matrices done.

use super::matrix;
use super::value::without_unit;
use crate::math::ast::{Ast, Interval, ListKind, Relation};
use crate::math::budget::Stop;
use crate::math::formal::{Formal, expression};
use crate::math::lex::sign;
use crate::math::numeric;
use crate::math::parse::{defined_name, is_infinite};
use std::cmp::Ordering;
use std::sync::Arc;

/// An answer with what only names it split off: `x = 5` is 5 named x.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) name: Option<Arc<str>>,
    pub(super) body: Ast,
    /// The answer as an equation, where it was one.
    pub(super) equation: Option<(Ast, Ast)>,
}

fn unnamed(body: Ast) -> Shape {
    Shape { name: None, body, equation: None }
}

/// Normalises the outermost structure: definitions, plus-minus, inequalities in one variable, sums of matrices.
pub(super) fn shape(ast: &Ast, formal: &mut Formal<'_>) -> Result<Shape, Stop> {
    Ok(match ast {
        Ast::Relation(terms, relations) => relation_shape(terms, relations, formal)?,
        Ast::List(items, kind) => list_shape(items, *kind, formal)?,
        Ast::Set(items) => {
            let values = items.iter().map(plus_minus_values).collect::<Result<Vec<_>, Stop>>()?;
            unnamed(Ast::Set(values.into_iter().flatten().collect()))
        }
        Ast::Symbol(name) if **name == *sign::REALS.encode_utf8(&mut [0; 4]) => unnamed(everything()),
        Ast::Text(words) if is_everything(words) => unnamed(everything()),
        unfinished if matrix::is_unfinished(unfinished) => unnamed(matrix::finished(unfinished)?),
        value if value.is_value() || matches!(value, Ast::Tuple(_)) => {
            let mut values = plus_minus_values(value)?;
            for value in &mut values {
                if let Ast::Tuple(places) = value
                    && let Some(point) = point(places)
                {
                    *value = point;
                }
            }
            unnamed(if values.len() == 2 { Ast::List(values, ListKind::Or) } else { values.swap_remove(0) })
        }
        other => unnamed(other.clone()),
    })
}

fn everything() -> Ast {
    Ast::Interval(Box::new(Interval {
        low: Ast::Negative(Box::new(Ast::Infinity)),
        high: Ast::Infinity,
        low_closed: false,
        high_closed: false,
    }))
}

fn is_everything(words: &str) -> bool {
    matches!(words.to_ascii_lowercase().as_str(), "all real numbers" | "all reals" | "any real number")
}

fn relation_shape(terms: &[Ast], relations: &[Relation], formal: &mut Formal<'_>) -> Result<Shape, Stop> {
    if let [Relation::Member] = relations
        && let Some(name) = defined_name(&terms[0])
    {
        let inner = shape(&terms[1], formal)?;
        return Ok(Shape { name: Some(name), ..inner });
    }
    if let Some(at) = relations.iter().position(|r| *r == Relation::Approximately) {
        if at == 0 && relations.len() == 1 && defined_name(&terms[0]).is_some() {
            return relation_shape(terms, &[Relation::Equal], formal);
        }
        if at + 1 != relations.len() || !approximates(&terms[at + 1], &terms[at], formal) {
            return Err(Stop::Unsupported("an approximation"));
        }
        return match at {
            0 => shape(&terms[0], formal),
            _ => relation_shape(&terms[..=at], &relations[..at], formal),
        };
    }
    if relations.iter().all(|r| *r == Relation::Equal) {
        if let [left, right] = terms {
            let equation = Some((left.clone(), right.clone()));
            if let Some(name) = defined_name(left)
                && !right.any(&|part| matches!(part, Ast::Symbol(other) if *other == name))
            {
                let inner = shape(right, formal)?;
                return Ok(Shape { name: Some(name), body: inner.body, equation });
            }
            // `5 = x`
            if let Ast::Symbol(name) = right
                && !left.any(&|part| matches!(part, Ast::Symbol(_)))
            {
                let inner = shape(left, formal)?;
                return Ok(Shape { name: Some(name.clone()), body: inner.body, equation });
            }
            // `(x, y) = (2, 3)`
            if let (Ast::Tuple(names), Ast::Tuple(values)) = (left, right)
                && names.len() == values.len()
                && names.iter().all(|name| matches!(name, Ast::Symbol(_)))
            {
                let one = |(name, value): (&Ast, &Ast)| {
                    Ast::Relation(vec![name.clone(), value.clone()], vec![Relation::Equal])
                };
                let equations: Vec<Ast> = names.iter().zip(values).map(one).collect();
                return list_shape(&equations, ListKind::Words, formal);
            }
            let body = Ast::Relation(terms.to_vec(), relations.to_vec());
            return Ok(Shape { name: None, body, equation });
        }
        return Ok(unnamed(Ast::Relation(terms.to_vec(), relations.to_vec())));
    }
    Ok(interval_of(terms, relations)
        .or_else(|| solved(terms, relations, formal))
        .unwrap_or_else(|| unnamed(Ast::Relation(terms.to_vec(), relations.to_vec()))))
}

/// An inequality linear in its one variable, solved for it: `2x - 3 < 7` is `x < 5`.
fn solved(terms: &[Ast], relations: &[Relation], formal: &mut Formal<'_>) -> Option<Shape> {
    let ([left, right], [relation]) = (terms, relations) else { return None };
    if !left.is_value() || !right.is_value() || is_infinite(left) || is_infinite(right) {
        return None;
    }
    let (left, right) = (formal.value(left).ok()?, formal.value(right).ok()?);
    let difference = formal.minus(&left, &right).ok()?;
    let (name, slope, rest) = difference.above.linear().filter(|_| difference.below.is_none())?;
    let relation = match numeric::sign(&slope, &mut formal.fuel).ok()? {
        Ordering::Less => turned(*relation),
        _ => *relation,
    };
    let bound = formal.divide(&rest.negated().into(), &slope.into()).ok()?;
    interval_of(&[Ast::Symbol(name), expression(&bound)], &[relation])
}

/// Whether a decimal stands for a value to its last digit: `5 \approx 7.5` gives two answers and not one.
fn approximates(decimal: &Ast, value: &Ast, formal: &mut Formal<'_>) -> bool {
    let places = |ast: &Ast| match ast {
        Ast::Number(number) if number.places > 0 => Some(number.places),
        _ => None,
    };
    let (bare, value) = (without_unit(decimal).0, without_unit(value).0);
    let written = match bare {
        Ast::Negative(inner) => places(inner),
        _ => places(bare),
    };
    let mut real = |ast: &Ast| numeric::approximate(&formal.value(ast).ok()?, &mut formal.fuel);
    match (written, real(bare), real(value)) {
        (Some(places), Some(x), Some(y)) => {
            let unit = 10_f64.powi(-(places as i32));
            let (rounded, cut) =
                ((x - y).abs() <= 0.500_001 * unit, (0.0..unit).contains(&(y.abs() - x.abs())));
            rounded || (cut && x.signum() == y.signum())
        }
        _ => false,
    }
}

/// `x > 3`, `3 < x`, `-1 < x <= 1`, `x != 3` as intervals.
fn interval_of(terms: &[Ast], relations: &[Relation]) -> Option<Shape> {
    let constant = |ast: &Ast| ast.is_value() && !ast.any(&|part| matches!(part, Ast::Symbol(_)));
    let minus_infinity = Ast::Negative(Box::new(Ast::Infinity));
    let piece = |low: Ast, high: Ast, low_closed: bool, high_closed: bool| {
        Ast::Interval(Box::new(Interval { low, high, low_closed, high_closed }))
    };
    let (name, body) = match (terms, relations) {
        ([Ast::Symbol(name), bound], [relation]) if constant(bound) => {
            let bound = bound.clone();
            (
                name,
                match relation {
                    Relation::Less | Relation::LessEqual => {
                        piece(minus_infinity, bound, false, *relation == Relation::LessEqual)
                    }
                    Relation::Greater | Relation::GreaterEqual => {
                        piece(bound, Ast::Infinity, *relation == Relation::GreaterEqual, false)
                    }
                    Relation::NotEqual => Ast::Union(vec![
                        piece(minus_infinity, bound.clone(), false, false),
                        piece(bound, Ast::Infinity, false, false),
                    ]),
                    _ => return None,
                },
            )
        }
        ([bound, Ast::Symbol(_)], [relation]) if constant(bound) => {
            return interval_of(&[terms[1].clone(), terms[0].clone()], &[turned(*relation)]);
        }
        ([low, Ast::Symbol(name), high], [first, second]) if constant(low) && constant(high) => {
            use Relation::{Greater, GreaterEqual, Less, LessEqual};
            match (first, second) {
                (Less | LessEqual, Less | LessEqual) => {
                    let closed = (*first == LessEqual, *second == LessEqual);
                    (name, piece(low.clone(), high.clone(), closed.0, closed.1))
                }
                (Greater | GreaterEqual, Greater | GreaterEqual) => {
                    let closed = (*second == GreaterEqual, *first == GreaterEqual);
                    (name, piece(high.clone(), low.clone(), closed.0, closed.1))
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(Shape { name: Some(name.clone()), body, equation: None })
}

pub(super) fn turned(relation: Relation) -> Relation {
    match relation {
        Relation::Less => Relation::Greater,
        Relation::LessEqual => Relation::GreaterEqual,
        Relation::Greater => Relation::Less,
        Relation::GreaterEqual => Relation::LessEqual,
        other => other,
    }
}

/// `x = 2, x = 3` and `x = 2, 3` are the list 2, 3 named x; `x < 1 or x > 2` is a union.
fn list_shape(items: &[Ast], kind: ListKind, formal: &mut Formal<'_>) -> Result<Shape, Stop> {
    let shapes = items.iter().map(|item| shape(item, formal)).collect::<Result<Vec<Shape>, Stop>>()?;
    let name = shapes[0].name.clone();
    let one_name = name.is_some()
        && shapes
            .iter()
            .skip(1)
            .all(|item| item.name == name || (item.name.is_none() && item.equation.is_none()));
    if one_name
        && kind == ListKind::Or
        && shapes.iter().all(|item| matches!(item.body, Ast::Interval(_) | Ast::Union(_)))
    {
        return Ok(Shape {
            name,
            body: Ast::Union(shapes.into_iter().map(|item| item.body).collect()),
            equation: None,
        });
    }
    if !one_name && shapes.iter().any(|item| item.name.is_some()) {
        return Ok(unnamed(Ast::List(solutions(items, &shapes)?, kind)));
    }
    let kind = if one_name || shapes.iter().any(|item| matches!(item.body, Ast::List(..))) {
        ListKind::Or
    } else {
        kind
    };
    // `(x, y) = (1, 2), (3, 4)` takes the order of the names for both, and places are taken in that of the alphabet.
    let points = items.iter().any(|item| matches!(item, Ast::Tuple(_)));
    if points && items.iter().any(names_out_of_order) {
        return Err(Stop::Unsupported("names in another order than the alphabet's"));
    }
    let mut flat = Vec::new();
    for item in shapes {
        match item.body {
            Ast::List(system, _) if items.len() > 1 && system.iter().any(is_relation) => {
                flat.push(point(&system).ok_or(Stop::Unsupported("a list of systems"))?);
            }
            Ast::List(inner, _) => flat.extend(inner),
            body => flat.push(body),
        }
    }
    Ok(Shape { name, body: Ast::List(flat, kind), equation: None })
}

fn is_relation(ast: &Ast) -> bool {
    matches!(ast, Ast::Relation(..))
}

fn names_out_of_order(ast: &Ast) -> bool {
    let Ast::Relation(terms, _) = ast else { return false };
    let Some(Ast::Tuple(names)) = terms.first() else { return false };
    !names.is_sorted_by_key(defined_name)
}

/// Equations of several names as they are, where each name has one; where names come again the list is of solutions, each
/// of them a point: which value of y goes with which of x is a part of the answer.
fn solutions(items: &[Ast], shapes: &[Shape]) -> Result<Vec<Ast>, Stop> {
    const OPEN: Stop = Stop::Unsupported("solutions that cannot be told apart");
    if shapes.iter().any(|item| item.name.is_none() && item.equation.is_none() && item.body.is_value()) {
        return Err(Stop::Unsupported("values with and without names"));
    }
    let mut groups: Vec<Vec<(&str, Ast)>> = vec![Vec::new()];
    for (item, shape) in items.iter().zip(shapes) {
        let name = shape.name.as_deref().unwrap_or("");
        let last = groups.len() - 1;
        if groups[last].iter().any(|(other, _)| *other == name && !name.is_empty()) {
            groups.push(Vec::new());
        }
        let last = groups.len() - 1;
        groups[last].push((name, item.clone()));
    }
    if groups.len() == 1 {
        return Ok(items.to_vec());
    }
    for group in &mut groups {
        group.sort_by(|a, b| a.0.cmp(b.0));
    }
    let names = |group: &[(&str, Ast)]| group.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let first = names(&groups[0]);
    let alike = groups.iter().all(|group| names(group) == first);
    if !alike || first.len() < 2 || first.iter().any(String::is_empty) {
        return Err(OPEN);
    }
    Ok(groups
        .into_iter()
        .map(|group| Ast::Tuple(group.into_iter().map(|(_, item)| item).collect()))
        .collect())
}

/// Equations for one name each as a point, its places in the order of the alphabet.
fn point(equations: &[Ast]) -> Option<Ast> {
    let mut named = Vec::with_capacity(equations.len());
    for equation in equations {
        let Ast::Relation(terms, relations) = equation else { return None };
        if *relations != [Relation::Equal] {
            return None;
        }
        named.push((defined_name(&terms[0])?, equation.clone()));
    }
    named.sort_by(|a, b| a.0.cmp(&b.0));
    let distinct = named.windows(2).all(|pair| pair[0].0 != pair[1].0);
    distinct.then(|| Ast::Tuple(named.into_iter().map(|(_, equation)| equation).collect()))
}

/// The two values of an expression with plus-minus signs (all taken alike), or the one value without.
fn plus_minus_values(ast: &Ast) -> Result<Vec<Ast>, Stop> {
    match plus_minus_signs(ast) {
        (0, 0) => Ok(vec![ast.clone()]),
        // Two signs alike may be taken alike or each for itself.
        (2.., 0) | (0, 2..) => Err(Stop::Unsupported("several plus-minus signs")),
        _ => {
            let values = vec![with_sign(ast, true), with_sign(ast, false)];
            // A value with the sign still in it would be taken apart for ever.
            match values.iter().all(|value| plus_minus_signs(value) == (0, 0)) {
                true => Ok(values),
                false => Err(Stop::Unsupported("a plus-minus sign in this place")),
            }
        }
    }
}

/// How many plus-minus and how many minus-plus signs there are.
fn plus_minus_signs(ast: &Ast) -> (u32, u32) {
    let own = match ast {
        Ast::PlusMinus(flipped, _) => (u32::from(!flipped), u32::from(*flipped)),
        _ => (0, 0),
    };
    ast.parts().into_iter().map(plus_minus_signs).fold(own, |sum, more| (sum.0 + more.0, sum.1 + more.1))
}

fn with_sign(ast: &Ast, plus: bool) -> Ast {
    let one = |inner: &Ast| Box::new(with_sign(inner, plus));
    let all = |parts: &[Ast]| parts.iter().map(|part| with_sign(part, plus)).collect();
    match ast {
        Ast::PlusMinus(flipped, inner) if *flipped == plus => Ast::Negative(one(inner)),
        Ast::PlusMinus(_, inner) => with_sign(inner, plus),
        Ast::Sum(parts) => Ast::Sum(all(parts)),
        Ast::Product(parts) => Ast::Product(all(parts)),
        Ast::Tuple(parts) => Ast::Tuple(all(parts)),
        Ast::Call(function, parts) => Ast::Call(function.clone(), all(parts)),
        Ast::Negative(inner) => Ast::Negative(one(inner)),
        Ast::Degrees(inner) => Ast::Degrees(one(inner)),
        Ast::Percent(inner) => Ast::Percent(one(inner)),
        Ast::Quantity(inner, unit) => Ast::Quantity(one(inner), unit.clone()),
        Ast::Quotient(a, b) => Ast::Quotient(one(a), one(b)),
        Ast::Power(a, b) => Ast::Power(one(a), one(b)),
        Ast::Root(a, b) => Ast::Root(one(a), one(b)),
        other => other.clone(),
    }
}
