//! Equations, chains and inequalities. Two equations are equal exactly where left - right of one is the other's times
//! a constant that is not zero.

use super::shape::turned;
use super::{Comparison, Found, SAME};
use crate::math::ast::{Ast, Relation};
use crate::math::budget::Stop;
use crate::math::domain;
use crate::math::formal::{Base, Factor, Frac, Mono, Poly};
use crate::math::parse::defined_name;
use std::collections::BTreeMap;

impl Comparison<'_> {
    /// An equation in place of a value: `x = 2+3 = 5`, `2+3 = 5`.
    pub(super) fn chain(&mut self, gold: &Ast, terms: &[Ast], relations: &[Relation]) -> Found {
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

    pub(super) fn relations(&mut self, a: &[Ast], with: &[Relation], b: &[Ast], other: &[Relation]) -> Found {
        if let ([left, right], [Relation::Equal], [left2, right2], [Relation::Equal]) = (a, with, b, other) {
            return self.equations(&(left.clone(), right.clone()), &(left2.clone(), right2.clone()));
        }
        if with == other {
            let found = self.sequence(a, b, "a chain of another length");
            if matches!(found, Found::Equal(_)) {
                return found;
            }
        }
        let chains = with.iter().chain(other).all(|relation| *relation == Relation::Equal);
        if chains && a[0] == b[0] && self.has_other_member(&a[1..], &b[1..]) {
            return Found::Different("another value for the same");
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
    pub(super) fn equations(&mut self, gold: &(Ast, Ast), answer: &(Ast, Ast)) -> Found {
        let both_values = |pair: &(Ast, Ast)| pair.0.is_value() && pair.1.is_value();
        if !both_values(gold) || !both_values(answer) {
            let found = self.parts(&gold.0, &answer.0).and(|| self.parts(&gold.1, &answer.1));
            let one_side = self.differ_on_one_side(gold, answer);
            return match found {
                Found::Different(_) if one_side => Found::Different("another equation"),
                Found::Different(_) => Found::Unsupported("an equation between structures"),
                found => found,
            };
        }
        let found = match self.proportional(gold, answer) {
            Ok(found) => self.with_domain([&gold.0, &gold.1], [&answer.0, &answer.1], found),
            Err(stop) => stop.into(),
        };
        match found {
            Found::Equal(_) | Found::Different(_) => found,
            // What is always true (\cos\pi = -1), or has no variable outside of functions, is the same side by side.
            open => {
                let constant = |ast: &Ast| !ast.any(&|part| matches!(part, Ast::Symbol(_)));
                if [&gold.0, &gold.1, &answer.0, &answer.1].into_iter().all(constant)
                    && self.differ_on_one_side(gold, answer)
                {
                    return Found::Different("another equation");
                }
                self.values(&gold.0, &answer.0).and(|| self.values(&gold.1, &answer.1)).or(open)
            }
        }
    }

    /// Whether the left sides are the same and the right ones are not, or the other way. Equations without variables, or
    /// between what is not a value (a matrix, an interval), are not both true then.
    fn differ_on_one_side(&mut self, gold: &(Ast, Ast), answer: &(Ast, Ast)) -> bool {
        let (left, right) = (self.parts(&gold.0, &answer.0), self.parts(&gold.1, &answer.1));
        matches!(
            (left, right),
            (Found::Equal(_), Found::Different(_)) | (Found::Different(_), Found::Equal(_))
        )
    }

    /// Whether a chain of equations `x = c = d` for `x = a = b` has a member that is none of the gold's.
    fn has_other_member(&mut self, gold: &[Ast], answer: &[Ast]) -> bool {
        answer
            .iter()
            .any(|member| gold.iter().all(|value| matches!(self.parts(value, member), Found::Different(_))))
    }

    /// Takes an equality back where one side is defined at a point and the other is not. They agree where both
    /// are, which is the same answer for some domains and not for others, and none is stated.
    pub(super) fn with_domain<const N: usize>(
        &mut self,
        gold: [&Ast; N],
        answer: [&Ast; N],
        found: Found,
    ) -> Found {
        if !matches!(found, Found::Equal(_)) {
            return found;
        }
        match domain::differ(&gold, &answer, &self.profile.budget, &mut self.work.domains) {
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

    pub(super) fn cross(&mut self, a: &Frac, b: &Frac) -> Result<Poly, Stop> {
        match &b.below {
            Some(below) => self.formal.times_poly(&a.above, below),
            None => Ok(a.above.clone()),
        }
    }
}

fn poly(above: Poly) -> Frac {
    Frac { above, below: None }
}
