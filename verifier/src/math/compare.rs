//! Typed comparison: the type of the gold decides what is compared with what.
//!
//! What is proven here is structure: a list is never a number, `[a, b)` is never `(a, b)`, an equation
//! equals another exactly where one is the other times a constant that is not zero. Values go down to
//! `formal`, `identity` and `numeric`. Where two kinds may mean the same and the checker cannot tell, it
//! says `Unsupported`.

mod collection;
mod equation;
mod matrix;
mod shape;
mod value;
mod words;

use super::Proof;
use super::ast::{Ast, Function, ListKind, Relation};
use super::budget::{Budget, Fuel, Stop, Work};
use super::formal::{Formal, Frac, Poly, expression};
use super::parse::is_infinite;
use super::profile::MathProfile;
use collection::{is_condition, open_interval};
use dashu_ratio::RBig;
use shape::{Shape, shape};
use value::without_unit;
use words::{compare_words, normal_words, text, words_of};

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

/// A gold, parsed and brought into shape once for all predictions.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) ast: Ast,
    shape: Shape,
    /// Where the whole gold is one value: its canonical form, or that it costs too much.
    form: Option<Result<Form, Stop>>,
}

/// A value in canonical form, and the divisors on which that depends.
#[derive(Debug, Clone)]
struct Form {
    value: Frac,
    divisors: Vec<Poly>,
}

impl Prepared {
    /// Checks that a gold can be graded against at all, and keeps what every comparison needs of it.
    pub(crate) fn of(ast: Ast, budget: &Budget) -> Result<Prepared, Stop> {
        let mut formal = Formal::new(budget, Fuel::of(budget.reading));
        let shape = shape(&ast, &mut formal)?;
        let form = check_part(&shape.body, &mut formal)?;
        Ok(Prepared { ast, shape, form })
    }
}

/// Compares a gold with a parsed answer.
pub(crate) fn answers(gold: &Prepared, answer: &Ast, profile: &MathProfile, work: &mut Work) -> Found {
    if gold.ast == *answer {
        return SAME;
    }
    let formal = Formal::new(&profile.budget, std::mem::take(&mut work.main));
    let known = gold.form.as_ref().map(|form| (without_unit(&gold.shape.body).0, form));
    let mut comparison = Comparison { profile, formal, work, known };
    let found = match shape(answer, &mut comparison.formal) {
        Ok(answer) => comparison.whole(&gold.shape, &answer),
        Err(stop) => stop.into(),
    };
    comparison.work.main = comparison.formal.fuel;
    found
}

/// The canonical form of an answer that is one value, as an expression.
pub(crate) fn canonical(ast: &Ast, profile: &MathProfile) -> Option<Ast> {
    let budget = &profile.budget;
    let mut formal = Formal::new(budget, Fuel::of(budget.fuel));
    let body = shape(ast, &mut formal).ok()?.body;
    let value = without_unit(&body).0;
    if !value.is_value() || is_infinite(value) {
        return None;
    }
    formal.value(value).ok().map(|form| expression(&form))
}

/// Whether all members of a list are equations for their letters: `x = 2, y = 3`.
fn are_named(items: &[Ast]) -> bool {
    items.iter().all(|item| matches!(item, Ast::Relation(_, relations) if *relations == [Relation::Equal]))
}

/// Whether a time written as a ratio has hours that only a clock of 24 has.
fn is_past_noon(parts: &[Ast]) -> bool {
    let hours = |number: &RBig| *number > RBig::from(12) || *number == RBig::ZERO;
    matches!(parts.first(), Some(Ast::Number(number)) if hours(&number.value))
}

/// Whether an equal answer is written like the gold: integers as integers, fractions of integers with the same parts.
fn is_literal(gold: &Ast, answer: &Ast) -> bool {
    let bare = |ast: &Ast| match without_unit(ast).0 {
        Ast::Negative(inner) | Ast::Percent(inner) => without_unit(inner).0.clone(),
        other => other.clone(),
    };
    match (bare(gold), bare(answer)) {
        (Ast::Number(number), other) if number.value.is_int() => matches!(other, Ast::Number(_)),
        (Ast::Quotient(a, b), Ast::Quotient(c, d)) => {
            let numbers = [&a, &b, &c, &d].iter().all(|part| matches!(***part, Ast::Number(_)));
            !numbers || (a == c && b == d)
        }
        (Ast::Tuple(items) | Ast::List(items, _), Ast::Tuple(others) | Ast::List(others, _)) => {
            items.iter().zip(&others).all(|(item, other)| is_literal(item, other))
        }
        _ => true,
    }
}

/// What data sets write where there is no answer: nothing, a proof to be given, an answer that was not found.
const NO_GOLDS: [&str; 3] = ["none", "proof", "notfound"];

/// Whether a part of a gold can be graded against; the canonical form of a value.
fn check_part(ast: &Ast, formal: &mut Formal<'_>) -> Result<Option<Result<Form, Stop>>, Stop> {
    match ast {
        Ast::Text(words) => {
            let letters = words.split([',', ' ']).all(|word| word.len() <= 1);
            if (words.split_whitespace().count() > 4 && !letters)
                || NO_GOLDS.iter().any(|no_gold| words.eq_ignore_ascii_case(no_gold))
            {
                return Err(Stop::Unsupported("prose"));
            }
            Ok(None)
        }
        Ast::Matrix(_)
        | Ast::Tuple(_)
        | Ast::Set(_)
        | Ast::List(..)
        | Ast::Union(_)
        | Ast::Ratio(..)
        | Ast::Class(..)
        | Ast::Cases(_)
        | Ast::Interval(_) => {
            for part in ast.parts() {
                check_part(&shape(part, formal)?.body, formal)?;
            }
            Ok(None)
        }
        Ast::Relation(terms, relations) => {
            if relations.iter().any(|r| matches!(r, Relation::Approximately | Relation::Member)) {
                return Err(Stop::Unsupported("this relation"));
            }
            for term in terms {
                check_part(term, formal)?;
            }
            Ok(None)
        }
        _ if is_infinite(ast) => Ok(None),
        _ => match formal.value(without_unit(ast).0) {
            Ok(value) => Ok(Some(Ok(Form { value, divisors: std::mem::take(&mut formal.divisors) }))),
            Err(stop @ Stop::Limit(_)) => Ok(Some(Err(stop))),
            Err(stop) => Err(stop),
        },
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
        Ast::Class(..) => "class",
        Ast::Cases(_) => "cases",
        Ast::Quantity(..) | Ast::Degrees(_) | Ast::Percent(_) => "quantity",
        Ast::Based(..) => "numeral",
        Ast::Negative(inner) => kind(inner),
        _ => "expression",
    }
}

struct Comparison<'p> {
    profile: &'p MathProfile,
    formal: Formal<'p>,
    /// What the last resorts may still cost; the rest is with `formal`.
    work: &'p mut Work,
    /// The gold's value, by its place, and its canonical form.
    known: Option<(&'p Ast, &'p Result<Form, Stop>)>,
}

impl Found {
    fn or(self, other: Found) -> Found {
        if matches!(self, Found::Equal(_)) { self } else { other }
    }
}

impl Comparison<'_> {
    /// The whole answers, and the policies that look at them once more.
    fn whole(&mut self, gold: &Shape, answer: &Shape) -> Found {
        let found = self.shapes(gold, answer);
        if self.profile.literal && matches!(found, Found::Equal(_)) && !is_literal(&gold.body, &answer.body) {
            return Found::Different("not written as the gold is (policy of this profile)");
        }
        match &self.profile.tolerance {
            Some(rule) if !matches!(found, Found::Equal(_)) => {
                match (self.written(&gold.body), self.written(&answer.body)) {
                    (Some(x), Some(y)) if rule.accepts(x, y) => Found::Equal(Proof::Tolerance),
                    _ => found,
                }
            }
            _ => found,
        }
    }

    fn shapes(&mut self, gold: &Shape, answer: &Shape) -> Found {
        if let (Some(left), Some(right)) = (&gold.equation, &answer.equation) {
            // `f(x) = x` and `f(t) = t`
            if let (Ast::Call(f, these), Ast::Call(g, those)) = (&left.0, &right.0)
                && f == g
                && gold.name.is_some()
                && gold.name == answer.name
                && these != those
            {
                return Found::Unsupported("a function of another variable");
            }
            if gold.name.is_some() && gold.name == answer.name {
                let found = self.bodies(&gold.body, &answer.body);
                let units = without_unit(&gold.body).1.is_some() || without_unit(&answer.body).1.is_some();
                if matches!(found, Found::Equal(_)) || !gold.body.is_value() || units {
                    return found;
                }
            }
            let named = gold.name.is_some() && answer.name.is_some() && gold.name != answer.name;
            if named && !(gold.body.is_value() && answer.body.is_value()) {
                return Found::Different("another variable");
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
        if let Err(stop) = self.formal.fuel.take(1) {
            return stop.into();
        }
        match (shape(gold, &mut self.formal), shape(answer, &mut self.formal)) {
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
            // `15:05` and `3:05 PM`
            (Ast::Ratio(..), Ast::Text(words)) if words.ends_with("am") || words.ends_with("pm") => {
                Found::Unsupported("a time on another clock")
            }
            (Ast::Text(words), Ast::Ratio(parts, _))
                if (words.ends_with("am") || words.ends_with("pm")) && is_past_noon(parts) =>
            {
                Found::Unsupported("a time on another clock")
            }
            (Ast::Call(Function::Binomial, _), Ast::Tuple(_))
            | (Ast::Tuple(_), Ast::Call(Function::Binomial, _)) => {
                Found::Unsupported("a binomial coefficient or a point")
            }
            (Ast::Text(words), _) => text(words, answer),
            (_, Ast::Text(words)) => match words_of(gold) {
                Some(letters) => compare_words(&letters, &normal_words(words)),
                None if gold.is_value() => Found::Unsupported("words where a value was expected"),
                None => Found::Different("words where a structure was expected"),
            },
            (Ast::List(items, _), Ast::List(others, _)) if are_named(items) != are_named(others) => {
                if are_named(items) {
                    self.solution(items, others)
                } else {
                    self.solution(others, items)
                }
            }
            (Ast::List(items, kind), Ast::List(others, other_kind))
                if are_named(items) && (*kind == ListKind::Or) != (*other_kind == ListKind::Or) =>
            {
                Found::Unsupported("equations that hold together beside alternatives")
            }
            (Ast::List(items, kind), Ast::List(others, other_kind)) => {
                self.lists(items, *kind, others, *other_kind)
            }
            (Ast::List(items, _), Ast::Tuple(places)) | (Ast::Tuple(places), Ast::List(items, _))
                if items.iter().all(|item| matches!(item, Ast::Relation(..))) =>
            {
                self.solution(items, places)
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
            (Ast::Union(items), Ast::Union(others)) => self.unions(items, others),
            (Ast::Union(items), piece @ Ast::Interval(_)) | (piece @ Ast::Interval(_), Ast::Union(items)) => {
                self.unions(items, std::slice::from_ref(piece))
            }
            (Ast::Union(items), piece @ Ast::Tuple(ends)) | (piece @ Ast::Tuple(ends), Ast::Union(items))
                if ends.len() == 2 =>
            {
                self.unions(items, std::slice::from_ref(piece))
            }
            (Ast::Union(_) | Ast::Interval(_), Ast::List(items, _))
            | (Ast::List(items, _), Ast::Union(_) | Ast::Interval(_))
                if items.iter().any(is_condition) =>
            {
                Found::Unsupported("conditions joined by a comma or by \"and\"")
            }
            // What could be solved for its variable is an interval by now: `x^2 < 4` is left.
            (Ast::Relation(_, relations), Ast::Interval(_) | Ast::Union(_) | Ast::Set(_) | Ast::Tuple(_))
            | (Ast::Interval(_) | Ast::Union(_) | Ast::Set(_) | Ast::Tuple(_), Ast::Relation(_, relations))
                if relations.iter().any(|relation| *relation != Relation::Equal) =>
            {
                Found::Unsupported("an inequality that is not solved")
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
            (Ast::Class(a, m), Ast::Class(b, n)) => self.classes((a, m), (b, n)),
            (Ast::Class(..), _) | (_, Ast::Class(..)) => {
                Found::Unsupported("a class of numbers beside another kind")
            }
            (Ast::Cases(rows), Ast::Cases(others)) => self.cases(rows, others),
            (Ast::Cases(_), _) | (_, Ast::Cases(_)) => {
                Found::Unsupported("a definition by cases beside another kind")
            }
            _ if gold.is_value() && answer.is_value() => self.quantities(gold, answer),
            (_, Ast::List(..)) => Found::Different("several values where one was expected"),
            _ => Found::Different("another kind of answer"),
        }
    }
}
