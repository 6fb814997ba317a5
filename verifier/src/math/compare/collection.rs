//! Lists, sets, tuples, intervals, unions, matrices, ratios: proven by structure and by the values inside.

use std::cmp::Ordering;

use super::shape::{Shape, shape};
use super::{Comparison, Found, SAME};
use crate::math::ast::{Ast, Function, Interval, ListKind, Relation};
use crate::math::parse::is_infinite;

impl Comparison<'_> {
    pub(super) fn sequence(&mut self, items: &[Ast], others: &[Ast], reason: &'static str) -> Found {
        if items.len() != others.len() {
            return Found::Different(reason);
        }
        items.iter().zip(others).fold(SAME, |found, (a, b)| found.and(|| self.parts(a, b)))
    }

    pub(super) fn lists(
        &mut self,
        items: &[Ast],
        kind: ListKind,
        others: &[Ast],
        other_kind: ListKind,
    ) -> Found {
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

    /// `x = 2, y = 3` and `(2, 3)`: the places are taken in the order of the alphabet; another order is open.
    pub(super) fn solution(&mut self, equations: &[Ast], places: &[Ast]) -> Found {
        const OPEN: Found = Found::Unsupported("names of values beside places of a point");
        let mut named = Vec::with_capacity(equations.len());
        for equation in equations {
            match shape(equation, &mut self.formal) {
                Ok(Shape { name: Some(name), body, equation: Some(_) }) if name.len() == 1 => {
                    named.push((name, body))
                }
                _ => return OPEN,
            }
        }
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let values: Vec<Ast> = named.into_iter().map(|(_, value)| value).collect();
        match self.sequence(&values, places, "a point of another dimension") {
            found @ Found::Equal(_) => found,
            _ => OPEN,
        }
    }

    /// Equal as sets: each member once.
    pub(super) fn sets(&mut self, items: &[Ast], others: &[Ast]) -> Found {
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
        // A unit, or what a value is called, may be left out of an answer; but 2, 2 days and 2 = y are three members.
        let mut kept: Vec<Ast> = Vec::new();
        for item in items {
            let again = |other: &Ast| {
                signs(other) == signs(item) && matches!(self.parts(other, item), Found::Equal(_))
            };
            if !kept.iter().any(again) {
                kept.push(item.clone());
            }
        }
        kept
    }

    /// Equal in some order. Equality is transitive but for units and signs of percent on one side only, so the first equal
    /// partner with the same signs will do, else the first one.
    pub(super) fn multiset(&mut self, items: &[Ast], others: &[Ast], reason: &'static str) -> Found {
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
            let (alike, unlike): (Vec<_>, Vec<_>) =
                left.iter().enumerate().partition(|(_, other)| signs(other) == signs(item));
            for (at, other) in alike.into_iter().chain(unlike) {
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

    pub(super) fn may_be_one_point(&mut self, ends: &Interval) -> bool {
        !matches!(self.parts(&ends.low, &ends.high), Found::Different(_))
    }

    /// Unions of the same pieces are equal. Cut into other pieces they are compared as they are with all pieces joined that can
    /// be, which is one way for each set of numbers; where the order of two ends is open, so is the verdict.
    pub(super) fn unions(&mut self, items: &[Ast], others: &[Ast]) -> Found {
        let found = self.multiset(items, others, "another union");
        if !matches!(found, Found::Different(_)) {
            return found;
        }
        let (Some(one), Some(other)) = (self.joined(items), self.joined(others)) else {
            return Found::Unsupported("a union in other pieces");
        };
        if one.len() != other.len() {
            return Found::Different("another union");
        }
        one.iter().zip(&other).fold(SAME, |found, (a, b)| found.and(|| self.intervals(a, b)))
    }

    /// The pieces of a union from left to right, those joined that touch or overlap. `None` where a piece is no interval of
    /// numbers, or the order of its ends is not decided.
    fn joined(&mut self, pieces: &[Ast]) -> Option<Vec<Interval>> {
        let mut sorted = Vec::new();
        for interval in intervals_of(pieces)? {
            let (low, high) = (self.end(&interval.low)?, self.end(&interval.high)?);
            let point = interval.low == interval.high && interval.low_closed && interval.high_closed;
            if !point && self.order(&End(low, &interval.low), &End(high, &interval.high))? != Ordering::Less {
                return None;
            }
            sorted.push((low, high, interval));
        }
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut joined: Vec<(f64, f64, Interval)> = Vec::new();
        for (low, high, next) in sorted {
            let Some((last_low, last_high, last)) = joined.last_mut() else {
                joined.push((low, high, next));
                continue;
            };
            let lows = self.order(&End(*last_low, &last.low), &End(low, &next.low))?;
            let gap = self.order(&End(*last_high, &last.high), &End(low, &next.low))?;
            let highs = self.order(&End(*last_high, &last.high), &End(high, &next.high))?;
            let hole = gap == Ordering::Equal && !last.high_closed && !next.low_closed;
            if gap == Ordering::Less || hole {
                joined.push((low, high, next));
                continue;
            }
            // Floats sort ends that are the same in either order.
            if lows == Ordering::Greater {
                return None;
            }
            last.low_closed |= lows == Ordering::Equal && next.low_closed;
            match highs {
                Ordering::Less => {
                    (last.high, last.high_closed) = (next.high, next.high_closed);
                    *last_high = high;
                }
                Ordering::Equal => last.high_closed |= next.high_closed,
                Ordering::Greater => {}
            }
        }
        Some(joined.into_iter().map(|(_, _, interval)| interval).collect())
    }

    /// Which of two ends is greater; `None` where floats are too near each other to tell, and the ends not shown equal.
    fn order(&mut self, a: &End<'_>, b: &End<'_>) -> Option<Ordering> {
        let (End(x, x_is), End(y, y_is)) = (a, b);
        let apart = (x - y).abs() > 1e-6 * x.abs().max(y.abs());
        if x.is_infinite() || y.is_infinite() || apart {
            return Some(x.total_cmp(y));
        }
        let same = x_is == y_is || matches!(self.values(x_is, y_is), Found::Equal(_));
        same.then_some(Ordering::Equal)
    }

    /// The end of an interval as a float.
    fn end(&mut self, ast: &Ast) -> Option<f64> {
        match ast {
            Ast::Infinity => Some(f64::INFINITY),
            Ast::Negative(inner) if **inner == Ast::Infinity => Some(f64::NEG_INFINITY),
            _ => self.real(ast),
        }
    }

    pub(super) fn intervals(&mut self, a: &Interval, b: &Interval) -> Found {
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

    pub(super) fn matrices(&mut self, rows: &[Vec<Ast>], others: &[Vec<Ast>]) -> Found {
        if rows.len() != others.len() {
            return Found::Different("a matrix of another size");
        }
        rows.iter()
            .zip(others)
            .fold(SAME, |found, (a, b)| found.and(|| self.sequence(a, b, "a matrix of another size")))
    }

    /// Classes are equal where their moduli are and the numbers differ by a multiple of it.
    pub(super) fn classes(&mut self, gold: (&Ast, &Ast), answer: (&Ast, &Ast)) -> Found {
        let moduli = self.parts(gold.1, answer.1);
        if !matches!(moduli, Found::Equal(_)) {
            return moduli;
        }
        let same = self.values(gold.0, answer.0);
        if matches!(same, Found::Equal(_)) {
            return same;
        }
        let residue = |value: &Ast| Ast::Call(Function::Remainder, vec![value.clone(), gold.1.clone()]);
        let (a, b) = (residue(gold.0), residue(answer.0));
        self.values(&a, &b)
    }

    /// Definitions by cases: the same conditions with the same values, in any order.
    pub(super) fn cases(&mut self, rows: &[(Ast, Ast)], others: &[(Ast, Ast)]) -> Found {
        const ELSEWHERE: Found = Found::Unsupported("a definition by other cases");
        if rows.len() != others.len() {
            return ELSEWHERE;
        }
        let (mut found, mut left) = (SAME, others.iter().collect::<Vec<_>>());
        for (value, condition) in rows {
            let same = |other: &&(Ast, Ast)| matches!(self.parts(condition, &other.1), Found::Equal(_));
            let Some(at) = left.iter().position(same) else { return ELSEWHERE };
            // Each for one row alone: a condition may come twice, with two values.
            let (other, _) = left.remove(at);
            found = found.and(|| self.parts(value, other));
        }
        found
    }

    /// Ratios are equal where their parts are proportional; written like a time (`10:15`) they may be one, and then
    /// only the same parts are the same time.
    pub(super) fn ratios(&mut self, items: &[Ast], others: &[Ast], minutes: bool) -> Found {
        let same = self.sequence(items, others, "a ratio of another length");
        if !matches!(same, Found::Different(_)) || items.len() != others.len() {
            return same;
        }
        // `5:00` has no hours in a ratio to no minutes.
        let sharp = |parts: &[Ast]| parts.contains(&Ast::integer(0));
        if minutes && (sharp(items) || sharp(others)) {
            return Found::Different("another time");
        }
        match self.proportional_parts(items, others) {
            Found::Equal(_) if minutes => Found::Unsupported("a time or a ratio"),
            found => found,
        }
    }

    fn proportional_parts(&mut self, items: &[Ast], others: &[Ast]) -> Found {
        let zero = Ast::integer(0);
        let lead = (0..items.len()).find(|&at| matches!(self.values(&items[at], &zero), Found::Different(_)));
        let Some(lead) = lead else { return Found::Unsupported("a ratio of nothing") };
        match self.values(&others[lead], &zero) {
            Found::Different(_) => {}
            Found::Equal(_) => return Found::Different("another ratio"),
            open => return open,
        }
        let cross = |x: &Ast, y: &Ast| Ast::Product(vec![x.clone(), y.clone()]);
        (0..items.len()).filter(|&at| at != lead).fold(SAME, |found, at| {
            let (left, right) = (cross(&items[at], &others[lead]), cross(&others[at], &items[lead]));
            found.and(|| self.values(&left, &right))
        })
    }
}

/// An end of an interval, as a float too.
struct End<'a>(f64, &'a Ast);

/// The pieces of a union, where all are intervals or points.
fn intervals_of(pieces: &[Ast]) -> Option<Vec<Interval>> {
    let point = |value: &Ast| Interval {
        low: value.clone(),
        high: value.clone(),
        low_closed: true,
        high_closed: true,
    };
    let mut intervals = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match piece {
            Ast::Interval(interval) => intervals.push((**interval).clone()),
            Ast::Set(values) => intervals.extend(values.iter().map(point)),
            Ast::Tuple(items) => intervals.push(open_interval(items)?),
            _ => return None,
        }
    }
    Some(intervals)
}

/// Whether a unit and a sign of percent stand at a value, and whether it is in a statement: `2`, `2` days and `2 = y` differ.
fn signs(ast: &Ast) -> (bool, bool, bool) {
    if let Ast::Relation(terms, _) = ast {
        let (units, percents): (Vec<bool>, Vec<bool>) =
            terms.iter().map(signs).map(|(unit, percent, _)| (unit, percent)).unzip();
        return (units.contains(&true), percents.contains(&true), true);
    }
    let bare = match ast {
        Ast::Quantity(inner, _) | Ast::Degrees(inner) => inner,
        other => other,
    };
    (!std::ptr::eq(bare, ast), matches!(bare, Ast::Percent(_)), false)
}

/// An interval, or an inequality that stands for one.
pub(super) fn is_condition(ast: &Ast) -> bool {
    matches!(ast, Ast::Interval(_) | Ast::Union(_))
        || matches!(ast, Ast::Relation(_, relations) if relations.iter().any(|r| *r != Relation::Equal))
}

pub(super) fn open_interval(items: &[Ast]) -> Option<Interval> {
    match items {
        [low, high] => {
            Some(Interval { low: low.clone(), high: high.clone(), low_closed: false, high_closed: false })
        }
        _ => None,
    }
}
