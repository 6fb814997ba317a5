//! Typed comparison: the type of the gold decides what is compared with what.
//!
//! What is proven here is structure: a list is never a number, `[a, b)` is never `(a, b)`, an equation
//! equals another exactly where one is the other times a constant that is not zero. Values go down to
//! `formal`, `identity` and `numeric`. Where two kinds may mean the same and the checker cannot tell, it
//! says `Unsupported`.

use super::Proof;
use super::ast::{Ast, Function, Interval, ListKind, Relation};
use super::budget::{Fuel, Stop};
use super::domain;
use super::formal::{Base, Factor, Formal, Frac, Mono, Poly};
use super::identity::{self, Identity};
use super::lex::sign;
use super::numeric::{self, Finding};
use super::parse::{defined_name, is_infinite};
use super::profile::MathProfile;
use super::units::Unit;
use dashu_ratio::RBig;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The outcome of a comparison or of a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Equal(Proof),
    Different(&'static str),
    Unsupported(&'static str),
    Limit(&'static str),
}

const SAME: Found = Found::Equal(Proof::Exact);

impl From<Stop> for Found {
    fn from(stop: Stop) -> Found {
        match stop {
            Stop::Unsupported(what) => Found::Unsupported(what),
            Stop::Limit(what) => Found::Limit(what),
            Stop::Undefined(what) => Found::Different(what),
        }
    }
}

impl Found {
    /// Both have to be equal; a proven difference beats what is open.
    fn and(self, other: impl FnOnce() -> Found) -> Found {
        match self {
            Found::Different(_) => self,
            Found::Equal(proof) => match other() {
                Found::Equal(second) => Found::Equal(proof.max(second)),
                found => found,
            },
            open => match other() {
                different @ Found::Different(_) => different,
                _ => open,
            },
        }
    }
}

/// Compares two parsed answers.
pub(crate) fn answers(gold: &Ast, answer: &Ast, profile: &MathProfile) -> Found {
    if gold == answer {
        return SAME;
    }
    let (gold, answer) = match (shape(gold), shape(answer)) {
        (Ok(gold), Ok(answer)) => (gold, answer),
        (Err(stop), _) | (_, Err(stop)) => return stop.into(),
    };
    let mut comparison = Comparison { profile, formal: Formal::new(&profile.budget) };
    let found = comparison.shapes(&gold, &answer);
    match &profile.tolerance {
        Some(rule) if !matches!(found, Found::Equal(_)) => {
            match (comparison.real(&gold.body), comparison.real(&answer.body)) {
                (Some(x), Some(y)) if rule.accepts(x, y) => Found::Equal(Proof::Tolerance),
                _ => found,
            }
        }
        _ => found,
    }
}

/// Whether a gold can be graded against at all.
pub(crate) fn check_gold(gold: &Ast, profile: &MathProfile) -> Result<(), Stop> {
    let shape = shape(gold)?;
    let mut formal = Formal::new(&profile.budget);
    check_part(&shape.body, &mut formal)
}

fn check_part(ast: &Ast, formal: &mut Formal<'_>) -> Result<(), Stop> {
    match ast {
        Ast::Text(words) => {
            let letters = words.split([',', ' ']).all(|word| word.len() <= 1);
            if (words.split_whitespace().count() > 4 && !letters) || words.eq_ignore_ascii_case("none") {
                return Err(Stop::Unsupported("prose"));
            }
            Ok(())
        }
        Ast::Matrix(_)
        | Ast::Tuple(_)
        | Ast::Set(_)
        | Ast::List(..)
        | Ast::Union(_)
        | Ast::Ratio(..)
        | Ast::Interval(_) => {
            ast.parts().into_iter().try_for_each(|part| check_part(&shape(part)?.body, formal))
        }
        Ast::Relation(terms, relations) => {
            if relations.iter().any(|r| matches!(r, Relation::Approximately | Relation::Member)) {
                return Err(Stop::Unsupported("this relation"));
            }
            terms.iter().try_for_each(|term| check_part(term, formal))
        }
        _ if is_infinite(ast) => Ok(()),
        _ => {
            let (value, _) = without_unit(ast);
            match formal.value(value) {
                Ok(_) | Err(Stop::Limit(_)) => Ok(()),
                Err(stop) => Err(stop),
            }
        }
    }
}

/// One word for the type of an answer.
pub(crate) fn kind(ast: &Ast) -> &'static str {
    match ast {
        Ast::Number(_) => "number",
        Ast::Tuple(_) => "tuple",
        Ast::Set(_) => "set",
        Ast::List(..) | Ast::PlusMinus(..) => "list",
        Ast::Interval(_) => "interval",
        Ast::Union(_) => "union",
        Ast::Matrix(_) => "matrix",
        Ast::Relation(_, relations) if relations.iter().all(|r| *r == Relation::Equal) => "equation",
        Ast::Relation(..) => "inequality",
        Ast::Ratio(..) => "ratio",
        Ast::Text(_) => "text",
        Ast::Quantity(..) | Ast::Degrees(_) | Ast::Percent(_) => "quantity",
        Ast::Based(..) => "numeral",
        Ast::Negative(inner) => kind(inner),
        _ => "expression",
    }
}

/// An answer with what only names it split off: `x = 5` is 5 named x.
#[derive(Debug, Clone)]
struct Shape {
    name: Option<Arc<str>>,
    body: Ast,
    /// The answer as an equation, where it was one.
    equation: Option<(Ast, Ast)>,
}

fn unnamed(body: Ast) -> Shape {
    Shape { name: None, body, equation: None }
}

/// Normalises the outermost structure: definitions, plus-minus, inequalities in one variable, scaled
/// matrices.
fn shape(ast: &Ast) -> Result<Shape, Stop> {
    Ok(match ast {
        Ast::Relation(terms, relations) => relation_shape(terms, relations)?,
        Ast::List(items, kind) => list_shape(items, *kind)?,
        Ast::Set(items) => unnamed(Ast::Set(items.iter().flat_map(plus_minus_values).collect())),
        Ast::Symbol(name) if **name == *sign::REALS.encode_utf8(&mut [0; 4]) => unnamed(everything()),
        Ast::Text(words) if is_everything(words) => unnamed(everything()),
        Ast::Product(factors) if factors.iter().any(|f| matches!(f, Ast::Matrix(_))) => {
            unnamed(scaled_matrix(factors)?)
        }
        Ast::Negative(inner) if matches!(**inner, Ast::Matrix(_)) => {
            unnamed(scaled_matrix(&[Ast::integer(-1), (**inner).clone()])?)
        }
        value if value.is_value() => {
            let mut values = plus_minus_values(value);
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

fn relation_shape(terms: &[Ast], relations: &[Relation]) -> Result<Shape, Stop> {
    if let [Relation::Member] = relations
        && let Some(name) = defined_name(&terms[0])
    {
        let inner = shape(&terms[1])?;
        return Ok(Shape { name: Some(name), ..inner });
    }
    if let Some(at) = relations.iter().position(|r| *r == Relation::Approximately) {
        let decimal =
            terms[at + 1..].iter().all(|term| matches!(without_unit(term).0, Ast::Number(n) if n.places > 0));
        if !decimal || at + 1 != relations.len() {
            return Err(Stop::Unsupported("an approximation"));
        }
        return if at == 0 { shape(&terms[0]) } else { relation_shape(&terms[..=at], &relations[..at]) };
    }
    if relations.iter().all(|r| *r == Relation::Equal) {
        if let [left, right] = terms {
            let equation = Some((left.clone(), right.clone()));
            if let Some(name) = defined_name(left)
                && !right.any(&|part| matches!(part, Ast::Symbol(other) if *other == name))
            {
                let inner = shape(right)?;
                return Ok(Shape { name: Some(name), body: inner.body, equation });
            }
            let body = Ast::Relation(terms.to_vec(), relations.to_vec());
            return Ok(Shape { name: None, body, equation });
        }
        return Ok(unnamed(Ast::Relation(terms.to_vec(), relations.to_vec())));
    }
    Ok(interval_of(terms, relations)
        .unwrap_or_else(|| unnamed(Ast::Relation(terms.to_vec(), relations.to_vec()))))
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

fn turned(relation: Relation) -> Relation {
    match relation {
        Relation::Less => Relation::Greater,
        Relation::LessEqual => Relation::GreaterEqual,
        Relation::Greater => Relation::Less,
        Relation::GreaterEqual => Relation::LessEqual,
        other => other,
    }
}

/// `x = 2, x = 3` and `x = 2, 3` are the list 2, 3 named x; `x < 1 or x > 2` is a union.
fn list_shape(items: &[Ast], kind: ListKind) -> Result<Shape, Stop> {
    let shapes = items.iter().map(shape).collect::<Result<Vec<Shape>, Stop>>()?;
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
    if name.is_some() && !one_name {
        return Ok(unnamed(Ast::List(items.to_vec(), kind)));
    }
    let kind = if one_name || shapes.iter().any(|item| matches!(item.body, Ast::List(..))) {
        ListKind::Or
    } else {
        kind
    };
    let mut flat = Vec::new();
    for item in shapes {
        match item.body {
            Ast::List(inner, _) => flat.extend(inner),
            body => flat.push(body),
        }
    }
    Ok(Shape { name, body: Ast::List(flat, kind), equation: None })
}

/// The two values of an expression with plus-minus signs (all taken alike), or the one value without.
fn plus_minus_values(ast: &Ast) -> Vec<Ast> {
    if !ast.any(&|part| matches!(part, Ast::PlusMinus(..))) {
        return vec![ast.clone()];
    }
    vec![with_sign(ast, true), with_sign(ast, false)]
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

fn scaled_matrix(factors: &[Ast]) -> Result<Ast, Stop> {
    let mut rows = None;
    let mut scale = Vec::new();
    for factor in factors {
        match factor {
            Ast::Matrix(cells) if rows.is_none() => rows = Some(cells),
            value if value.is_value() => scale.push(value.clone()),
            _ => return Err(Stop::Unsupported("a product of matrices")),
        }
    }
    let Some(rows) = rows else { return Err(Stop::Unsupported("a product of matrices")) };
    let times = |cell: &Ast| Ast::Product(scale.iter().cloned().chain([cell.clone()]).collect());
    Ok(Ast::Matrix(rows.iter().map(|row| row.iter().map(times).collect()).collect()))
}

/// A value and its unit; degrees are a unit, a percent sign is not (it changes the value).
fn without_unit(ast: &Ast) -> (&Ast, Option<Unit>) {
    match ast {
        Ast::Quantity(inner, unit) => (inner, Some(unit.clone())),
        Ast::Degrees(inner) => (inner, Some(Unit::degrees())),
        _ => (ast, None),
    }
}

struct Comparison<'p> {
    profile: &'p MathProfile,
    formal: Formal<'p>,
}

impl Comparison<'_> {
    fn shapes(&mut self, gold: &Shape, answer: &Shape) -> Found {
        if let (Some(left), Some(right)) = (&gold.equation, &answer.equation) {
            if gold.name.is_some() && gold.name == answer.name {
                let found = self.bodies(&gold.body, &answer.body);
                if matches!(found, Found::Equal(_)) || !gold.body.is_value() {
                    return found;
                }
            }
            return self.equations(left, right);
        }
        if let (Some(a), Some(b)) = (&gold.name, &answer.name)
            && a != b
        {
            return Found::Different("another variable");
        }
        self.bodies(&gold.body, &answer.body)
    }

    /// Any two answers below the top: items of lists, cells, members.
    fn parts(&mut self, gold: &Ast, answer: &Ast) -> Found {
        if gold == answer {
            return SAME;
        }
        match (shape(gold), shape(answer)) {
            (Ok(gold), Ok(answer)) => self.shapes(&gold, &answer),
            (Err(stop), _) | (_, Err(stop)) => stop.into(),
        }
    }

    fn bodies(&mut self, gold: &Ast, answer: &Ast) -> Found {
        if gold == answer {
            return SAME;
        }
        match (gold, answer) {
            // "No solution" may be meant by it.
            (Ast::Text(_), Ast::Set(items)) | (Ast::Set(items), Ast::Text(_)) if items.is_empty() => {
                Found::Unsupported("words beside the empty set")
            }
            // [2, 2] is the set of 2, (2, 2] is empty.
            (Ast::Interval(ends), other) | (other, Ast::Interval(ends))
                if !matches!(other, Ast::Interval(_)) && self.may_be_one_point(ends) =>
            {
                Found::Unsupported("an interval of one point or none")
            }
            (Ast::Text(words), _) => text(words, answer),
            (_, Ast::Text(words)) => match words_of(gold) {
                Some(letters) => compare_words(&letters, &normal_words(words)),
                None if gold.is_value() => Found::Unsupported("words where a value was expected"),
                None => Found::Different("words where a structure was expected"),
            },
            (Ast::List(items, kind), Ast::List(others, other_kind)) => {
                self.lists(items, *kind, others, *other_kind)
            }
            (Ast::List(items, _), Ast::Set(others))
            | (Ast::Set(items), Ast::List(others, _) | Ast::Set(others)) => self.sets(items, others),
            (Ast::Tuple(items), Ast::Tuple(others)) => {
                self.sequence(items, others, "a tuple of another length")
            }
            (Ast::Interval(a), Ast::Interval(b)) => self.intervals(a, b),
            (Ast::Interval(a), Ast::Tuple(items)) => match open_interval(items) {
                Some(b) => self.intervals(a, &b),
                None => Found::Different("a tuple for an interval"),
            },
            (Ast::Tuple(items), Ast::Interval(b)) => match open_interval(items) {
                Some(a) => self.intervals(&a, b),
                None => Found::Different("an interval for a tuple"),
            },
            (Ast::Union(items), Ast::Union(others)) => {
                if items.len() == others.len() {
                    self.multiset(items, others, "another union")
                } else {
                    Found::Unsupported("a union in other pieces")
                }
            }
            (Ast::Union(_), Ast::Interval(_)) | (Ast::Interval(_), Ast::Union(_)) => {
                Found::Unsupported("a union in other pieces")
            }
            (Ast::Union(_), Ast::Tuple(items)) | (Ast::Tuple(items), Ast::Union(_)) if items.len() == 2 => {
                Found::Unsupported("a union in other pieces")
            }
            (Ast::Union(_) | Ast::Interval(_), Ast::List(items, _))
            | (Ast::List(items, _), Ast::Union(_) | Ast::Interval(_))
                if items.iter().any(is_condition) =>
            {
                Found::Unsupported("conditions joined by a comma or by \"and\"")
            }
            (Ast::Matrix(rows), Ast::Matrix(others)) => self.matrices(rows, others),
            (Ast::Matrix(_), Ast::Tuple(_)) | (Ast::Tuple(_), Ast::Matrix(_)) => {
                Found::Unsupported("a vector in another notation")
            }
            (Ast::Ratio(items, minutes), Ast::Ratio(others, other_minutes)) => {
                self.ratios(items, others, *minutes || *other_minutes)
            }
            (Ast::Ratio(..), _) | (_, Ast::Ratio(..)) => {
                Found::Unsupported("a ratio or a time beside another kind")
            }
            (Ast::Relation(terms, relations), Ast::Relation(others, other_relations)) => {
                self.relations(terms, relations, others, other_relations)
            }
            (Ast::Relation(..), _) if answer.is_value() => {
                Found::Unsupported("a value where a relation was expected")
            }
            (_, Ast::Relation(terms, relations)) if gold.is_value() => self.chain(gold, terms, relations),
            _ if gold.is_value() && answer.is_value() => self.quantities(gold, answer),
            (_, Ast::List(..)) => Found::Different("several values where one was expected"),
            _ => Found::Different("another kind of answer"),
        }
    }

    // ---- collections ----

    fn sequence(&mut self, items: &[Ast], others: &[Ast], reason: &'static str) -> Found {
        if items.len() != others.len() {
            return Found::Different(reason);
        }
        items.iter().zip(others).fold(SAME, |found, (a, b)| found.and(|| self.parts(a, b)))
    }

    fn lists(&mut self, items: &[Ast], kind: ListKind, others: &[Ast], other_kind: ListKind) -> Found {
        if items.len() != others.len() {
            return Found::Different("a list of another length");
        }
        let plain = kind == ListKind::Comma && other_kind == ListKind::Comma;
        let found = self.multiset(items, others, "another list");
        let ordered = self.profile.ordered_lists && plain && items.iter().all(Ast::is_value);
        if ordered && matches!(found, Found::Equal(_)) {
            return match self.sequence(items, others, "a list of another length") {
                Found::Different(_) => {
                    Found::Different("the same values in another order (policy of this profile)")
                }
                found => found,
            };
        }
        found
    }

    /// Equal as sets: each member once.
    fn sets(&mut self, items: &[Ast], others: &[Ast]) -> Found {
        if items.len() > 64 || others.len() > 64 {
            return Found::Limit("members of a set");
        }
        let items = self.distinct(items);
        let others = self.distinct(others);
        if items.len() != others.len() {
            return Found::Different("a set of another size");
        }
        self.multiset(&items, &others, "another set")
    }

    fn distinct(&mut self, items: &[Ast]) -> Vec<Ast> {
        let mut kept: Vec<Ast> = Vec::new();
        for item in items {
            if !kept.iter().any(|other| matches!(self.parts(other, item), Found::Equal(_))) {
                kept.push(item.clone());
            }
        }
        kept
    }

    /// Equal in some order. Equality is transitive, so taking the first equal partner is enough.
    fn multiset(&mut self, items: &[Ast], others: &[Ast], reason: &'static str) -> Found {
        if items.len() != others.len() {
            return Found::Different(reason);
        }
        if items.len() > 64 {
            return self.sequence(items, others, reason);
        }
        let mut left: Vec<&Ast> = others.iter().collect();
        let mut found = SAME;
        for item in items {
            let mut open = None;
            let mut partner = None;
            for (at, other) in left.iter().enumerate() {
                match self.parts(item, other) {
                    Found::Equal(proof) => {
                        partner = Some((at, proof));
                        break;
                    }
                    Found::Different(_) => {}
                    undecided => open = Some(undecided),
                }
            }
            match (partner, open) {
                (Some((at, proof)), _) => {
                    left.swap_remove(at);
                    found = found.and(|| Found::Equal(proof));
                }
                (None, Some(undecided)) => return undecided,
                (None, None) => return Found::Different(reason),
            }
        }
        found
    }

    fn may_be_one_point(&mut self, ends: &Interval) -> bool {
        !matches!(self.parts(&ends.low, &ends.high), Found::Different(_))
    }

    fn intervals(&mut self, a: &Interval, b: &Interval) -> Found {
        // Not all agree on what a closed end at infinity means.
        let infinite = |x: &Ast, y: &Ast| is_infinite(x) || is_infinite(y);
        if (a.low_closed != b.low_closed && infinite(&a.low, &b.low))
            || (a.high_closed != b.high_closed && infinite(&a.high, &b.high))
        {
            let ends = self.parts(&a.low, &b.low).and(|| self.parts(&a.high, &b.high));
            return match ends {
                Found::Equal(_) => Found::Unsupported("a closed end at infinity"),
                found => found,
            };
        }
        if a.low_closed != b.low_closed || a.high_closed != b.high_closed {
            return Found::Different("an end is open that should be closed, or closed that should be open");
        }
        self.parts(&a.low, &b.low).and(|| self.parts(&a.high, &b.high))
    }

    fn matrices(&mut self, rows: &[Vec<Ast>], others: &[Vec<Ast>]) -> Found {
        if rows.len() != others.len() {
            return Found::Different("a matrix of another size");
        }
        rows.iter()
            .zip(others)
            .fold(SAME, |found, (a, b)| found.and(|| self.sequence(a, b, "a matrix of another size")))
    }

    fn ratios(&mut self, items: &[Ast], others: &[Ast], minutes: bool) -> Found {
        let same = self.sequence(items, others, "a ratio of another length");
        let (Found::Different(_), [a, b], [c, d], false) = (same, items, others, minutes) else {
            return if minutes && matches!(same, Found::Different(_)) {
                Found::Different("another time or ratio")
            } else {
                same
            };
        };
        let cross = |x: &Ast, y: &Ast| Ast::Product(vec![x.clone(), y.clone()]);
        self.values(&cross(a, d), &cross(b, c))
    }

    // ---- relations ----

    /// An equation in place of a value: `x = 2+3 = 5`, `2+3 = 5`.
    fn chain(&mut self, gold: &Ast, terms: &[Ast], relations: &[Relation]) -> Found {
        if relations.iter().any(|r| *r != Relation::Equal) {
            return Found::Different("an inequality where a value was expected");
        }
        let named = defined_name(&terms[0]).is_some();
        if !named && !self.profile.last_of_chain {
            return Found::Unsupported("an equation where a value was expected");
        }
        let members = if named { &terms[1..] } else { terms };
        members.iter().fold(SAME, |found, member| found.and(|| self.parts(gold, member)))
    }

    fn relations(&mut self, a: &[Ast], with: &[Relation], b: &[Ast], other: &[Relation]) -> Found {
        if let ([left, right], [Relation::Equal], [left2, right2], [Relation::Equal]) = (a, with, b, other) {
            return self.equations(&(left.clone(), right.clone()), &(left2.clone(), right2.clone()));
        }
        if with == other {
            let found = self.sequence(a, b, "a chain of another length");
            if matches!(found, Found::Equal(_)) {
                return found;
            }
        }
        let turned: Vec<Relation> = other.iter().rev().map(|r| turned(*r)).collect();
        if *with == turned {
            let backwards: Vec<Ast> = b.iter().rev().cloned().collect();
            let found = self.sequence(a, &backwards, "a chain of another length");
            if matches!(found, Found::Equal(_)) {
                return found;
            }
        }
        Found::Unsupported("an inequality or a chain in another form")
    }

    /// Equal exactly where left - right of one is the other's times a constant that is not zero.
    fn equations(&mut self, gold: &(Ast, Ast), answer: &(Ast, Ast)) -> Found {
        let both_values = |pair: &(Ast, Ast)| pair.0.is_value() && pair.1.is_value();
        if !both_values(gold) || !both_values(answer) {
            let found = self.parts(&gold.0, &answer.0).and(|| self.parts(&gold.1, &answer.1));
            return match found {
                Found::Different(_) => Found::Unsupported("an equation between structures"),
                found => found,
            };
        }
        match self.proportional(gold, answer) {
            Ok(found) => self.with_domain([&gold.0, &gold.1], [&answer.0, &answer.1], found),
            Err(stop) => stop.into(),
        }
    }

    /// Takes an equality back where one side is defined at a point and the other is not. They agree where both
    /// are, which is the same answer for some domains and not for others, and none is stated.
    fn with_domain<const N: usize>(&self, gold: [&Ast; N], answer: [&Ast; N], found: Found) -> Found {
        if !matches!(found, Found::Equal(_)) {
            return found;
        }
        match domain::differ(&gold, &answer, &self.profile.budget) {
            Ok(false) => found,
            Ok(true) => {
                Found::Unsupported("equal only for some values of the variables, and no domain is stated")
            }
            Err(_) => Found::Limit("domains"),
        }
    }

    fn proportional(&mut self, gold: &(Ast, Ast), answer: &(Ast, Ast)) -> Result<Found, Stop> {
        let p = self.zero_form(gold)?;
        let q = self.zero_form(answer)?;
        let p_cross = self.cross(&p, &q)?;
        let q_cross = self.cross(&q, &p)?;
        if q_cross.is_zero() || p_cross.is_zero() {
            return Ok(if q_cross.is_zero() && p_cross.is_zero() {
                Found::Unsupported("an equation that is always true")
            } else {
                Found::Different("an equation that is always true")
            });
        }
        let by_variables = |poly: &Poly| {
            let mut groups: BTreeMap<Mono, Poly> = BTreeMap::new();
            for (mono, value) in &poly.0 {
                let is_variable =
                    |factor: &Factor| factor.over.is_none() && matches!(factor.base, Base::Symbol(_));
                let (variables, constants): (Vec<Factor>, Vec<Factor>) =
                    mono.0.iter().cloned().partition(is_variable);
                groups.entry(Mono(variables)).or_default().0.insert(Mono(constants), value.clone());
            }
            groups
        };
        let (p_groups, q_groups) = (by_variables(&p_cross), by_variables(&q_cross));
        if q_groups.len() == 1 && q_groups.keys().all(Mono::is_one) {
            return Ok(Found::Unsupported("an equation without a variable"));
        }
        let Some((key, q_lead)) = q_groups.iter().next_back() else {
            return Err(Stop::Unsupported("an equation"));
        };
        let Some(p_lead) = p_groups.get(key) else {
            let independent = p_cross.is_independent() && q_cross.is_independent();
            return Ok(if independent {
                Found::Different("another equation")
            } else {
                Found::Limit("equations")
            });
        };
        let left = self.formal.times_poly(&p_cross, q_lead)?;
        let right = self.formal.times_poly(&q_cross, p_lead)?;
        let difference = self.formal.difference(&poly(left), &poly(right))?;
        self.is_zero(&difference, "another equation")
    }

    fn zero_form(&mut self, equation: &(Ast, Ast)) -> Result<Frac, Stop> {
        let left = self.formal.value(&equation.0)?;
        let right = self.formal.value(&equation.1)?;
        self.formal.minus(&left, &right)
    }

    fn cross(&mut self, a: &Frac, b: &Frac) -> Result<Poly, Stop> {
        match &b.below {
            Some(below) => self.formal.times_poly(&a.above, below),
            None => Ok(a.above.clone()),
        }
    }

    // ---- single values ----

    fn quantities(&mut self, gold: &Ast, answer: &Ast) -> Found {
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

    fn values(&mut self, gold: &Ast, answer: &Ast) -> Found {
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
            Err(Stop::Limit(what)) => {
                let mut fuel = Fuel::new(&self.profile.budget);
                match identity::test(gold, answer, &mut fuel) {
                    Identity::Equal { bits } => Found::Equal(Proof::Identity { bits }),
                    Identity::Different => Found::Different("another expression"),
                    Identity::Unknown => Found::Limit(what),
                }
            }
            Err(stop) => stop.into(),
        };
        match found {
            Found::Different(_) => self.rounded(gold, answer).unwrap_or(found),
            found => self.with_domain([gold], [answer], found),
        }
    }

    fn exact(&mut self, gold: &Ast, answer: &Ast) -> Result<Found, Stop> {
        let a = self.formal.value(gold)?;
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

    fn is_zero(&mut self, difference: &Poly, reason: &'static str) -> Result<Found, Stop> {
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

    /// The policy of profiles that round decimals.
    fn rounded(&mut self, gold: &Ast, answer: &Ast) -> Option<Found> {
        let places = self.profile.decimal_places?;
        let is_decimal = |ast: &Ast| matches!(ast, Ast::Number(number) if number.places > 0);
        if !is_decimal(gold) && !is_decimal(answer) {
            return None;
        }
        let scale = 10_f64.powi(places as i32);
        let (x, y) = (self.real(gold)?, self.real(answer)?);
        ((x * scale).round() == (y * scale).round()).then_some(Found::Equal(Proof::Rounded { places }))
    }

    /// The real value as a float, for policies that ask for one.
    fn real(&mut self, ast: &Ast) -> Option<f64> {
        if !ast.is_value() {
            return None;
        }
        let value = self.formal.value(without_unit(ast).0).ok()?;
        numeric::approximate(&value, &mut self.formal.fuel)
    }
}

impl Found {
    fn or(self, other: Found) -> Found {
        if matches!(self, Found::Equal(_)) { self } else { other }
    }
}

fn poly(above: Poly) -> Frac {
    Frac { above, below: None }
}

fn scaled(value: &Ast, factor: &RBig) -> Ast {
    let number = super::ast::Number { value: factor.clone(), places: 0 };
    Ast::Product(vec![value.clone(), Ast::Number(number)])
}

/// An interval, or an inequality that stands for one.
fn is_condition(ast: &Ast) -> bool {
    matches!(ast, Ast::Interval(_) | Ast::Union(_))
        || matches!(ast, Ast::Relation(_, relations) if relations.iter().any(|r| *r != Relation::Equal))
}

fn open_interval(items: &[Ast]) -> Option<Interval> {
    match items {
        [low, high] => {
            Some(Interval { low: low.clone(), high: high.clone(), low_closed: false, high_closed: false })
        }
        _ => None,
    }
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

fn numeral(ast: &Ast) -> Option<(&str, u32, bool)> {
    match ast {
        Ast::Based(digits, base) => Some((digits, *base, false)),
        Ast::Negative(inner) => numeral(inner).map(|(digits, base, sign)| (digits, base, !sign)),
        _ => None,
    }
}

fn text(words: &str, answer: &Ast) -> Found {
    match words_of(answer) {
        Some(other) => compare_words(&normal_words(words), &other),
        None => Found::Different("not the words that were expected"),
    }
}

fn compare_words(gold: &str, answer: &str) -> Found {
    if gold == answer {
        return SAME;
    }
    // Lists of letters (which of the following ..) have no order.
    let letters = |words: &str| {
        let mut letters: Vec<String> = words
            .split([',', ' '])
            .filter(|word| !word.is_empty() && *word != "and")
            .map(str::to_owned)
            .collect();
        letters.sort();
        letters.iter().all(|letter| letter.chars().count() == 1).then_some(letters)
    };
    match (letters(gold), letters(answer)) {
        (Some(a), Some(b)) if a == b => SAME,
        _ => Found::Different("other words"),
    }
}

/// Lower case, single spaces, no brackets around, no full stop.
fn normal_words(words: &str) -> String {
    let mut normal = String::with_capacity(words.len());
    for word in
        words.split(|c: char| c.is_whitespace() || matches!(c, '~' | '-')).filter(|word| !word.is_empty())
    {
        if !normal.is_empty() && !normal.ends_with(',') {
            normal.push(' ');
        }
        normal.extend(word.chars().filter(|c| !matches!(c, '(' | ')' | '.')).flat_map(char::to_lowercase));
    }
    normal
}

/// What could have been meant as words: text, one letter, a short product of letters, a list of these.
fn words_of(ast: &Ast) -> Option<String> {
    match ast {
        Ast::Text(words) => Some(normal_words(words)),
        Ast::Symbol(name) => Some(name.to_lowercase()),
        Ast::Euler => Some("e".to_owned()),
        Ast::Imaginary => Some("i".to_owned()),
        Ast::Call(Function::Named(_), _) => None,
        Ast::Product(factors) => factors.iter().map(words_of).collect(),
        Ast::List(items, _) | Ast::Tuple(items) => {
            let words: Option<Vec<String>> = items.iter().map(words_of).collect();
            words.map(|words| words.join(","))
        }
        _ => None,
    }
}
