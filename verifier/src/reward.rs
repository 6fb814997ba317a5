//! A judgement becomes a number here and nowhere else.

use evalexpr::Value;

use crate::formula::Formula;
use crate::verdict::{Judgement, Verdict};

/// How the number is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RewardPolicy {
    /// 1 when accepted, else 0.
    #[default]
    AllTests,
    /// The score where the problem has one; else passed tests over all tests.
    Fraction,
    /// What a formula of the trainer's makes of it.
    Formula(RewardFormula),
}

impl RewardPolicy {
    /// Whether tests after a failed one matter.
    pub fn needs_all_tests(&self) -> bool {
        match self {
            RewardPolicy::AllTests => false,
            RewardPolicy::Fraction => true,
            RewardPolicy::Formula(formula) => formula.counts_tests(),
        }
    }
}

/// The variables of a formula.
const VARIABLES: [&str; 6] = ["accepted", "passed", "total", "fraction", "verdict", "has_answer"];

/// The largest reward a formula may give, and minus the smallest.
const LARGEST: f64 = 100.0;

/// A reward as a formula of the judgement, such as `if(accepted, 1.0, if(has_answer, 0.0, -0.5))`.
///
/// | variable | type | is |
/// |---|---|---|
/// | `accepted` | boolean | whether the verdict is `accepted` |
/// | `passed`, `total` | integer | tests passed, and all tests; a math answer counts as one test |
/// | `fraction` | float | passed over total, 0 without tests |
/// | `verdict` | string | the verdict's name, such as `"wrong_answer"` |
/// | `has_answer` | boolean | whether there was an answer or a program to grade |
///
/// Functions are those of evalexpr 11 (`if`, `min`, `max`, `math::...`). At most 400 bytes and 16 levels of brackets and
/// signs; the value is a number from -100 to 100. A submission that broke the rules (`security_violation`) never
/// gets more than what the formula gives for nothing passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewardFormula(Formula);

/// A formula that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "reward formula {formula:?}: {what}; write a number from -100 to 100, such as \
     \"if(accepted, 1.0, if(has_answer, 0.0, -0.5))\""
)]
pub struct InvalidFormula {
    /// The formula as given.
    pub formula: String,
    /// What is wrong with it.
    pub what: String,
}

impl RewardFormula {
    /// Compiles a formula and tries it on an accepted, a rejected and a missing answer.
    ///
    /// # Errors
    /// [`InvalidFormula`] where it is too long, too deep, not an expression of the variables, or no number in range.
    pub fn new(formula: &str) -> Result<RewardFormula, InvalidFormula> {
        let refuse = |what| InvalidFormula { formula: formula.chars().take(400).collect(), what };
        let compiled = RewardFormula(Formula::new(formula, &VARIABLES).map_err(refuse)?);
        for (verdict, passed) in [(Verdict::Accepted, 2), (Verdict::WrongAnswer, 1), (Verdict::NoAnswer, 0)] {
            compiled.evaluate(verdict, passed, 2).map_err(refuse)?;
        }
        Ok(compiled)
    }

    fn counts_tests(&self) -> bool {
        ["passed", "total", "fraction"].iter().any(|name| self.0.text().contains(name))
    }

    fn evaluate(&self, verdict: Verdict, passed: usize, total: usize) -> Result<f64, String> {
        let count = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let value = self.0.value(vec![
            ("accepted", Value::Boolean(verdict == Verdict::Accepted)),
            ("passed", count(passed)),
            ("total", count(total)),
            ("fraction", Value::Float(passed as f64 / total.max(1) as f64)),
            ("verdict", Value::String(verdict.name().to_owned())),
            ("has_answer", Value::Boolean(verdict != Verdict::NoAnswer)),
        ])?;
        let number = value.as_number().map_err(|error| error.to_string())?;
        match number.abs() <= LARGEST {
            true => Ok(number),
            false => Err(format!("it gives {number} for {passed} of {total} tests and {}", verdict.name())),
        }
    }
}

/// The number for a judgement: between 0 and 1, or what the formula says.
///
/// # Errors
/// [`InvalidFormula`] where a formula gives no number in range for this judgement.
pub fn reward(judgement: &Judgement, policy: &RewardPolicy) -> Result<f64, InvalidFormula> {
    let accepted = judgement.verdict == Verdict::Accepted;
    let violated = judgement.verdict == Verdict::SecurityViolation;
    Ok(match policy {
        RewardPolicy::Formula(formula) => {
            let passed = if violated { 0 } else { judgement.passed };
            return formula
                .evaluate(judgement.verdict, passed, judgement.total)
                .map_err(|what| InvalidFormula { formula: formula.0.text().to_owned(), what });
        }
        _ if accepted => 1.0,
        RewardPolicy::AllTests => 0.0,
        // A security violation earns nothing, whatever passed before it; and nothing but acceptance earns 1.
        RewardPolicy::Fraction if violated || judgement.total == 0 => 0.0,
        RewardPolicy::Fraction if judgement.score.is_some() => {
            judgement.score.unwrap_or_default().clamp(0.0, 1.0 - 1.0 / (1.0 + judgement.total as f64))
        }
        RewardPolicy::Fraction => judgement.passed.min(judgement.total - 1) as f64 / judgement.total as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Happened;

    fn judged(verdict: Verdict, passed: usize, total: usize) -> Judgement {
        Judgement { verdict, passed, ..Judgement::before_tests(Happened::NothingToGrade, total) }
    }

    #[test]
    fn only_acceptance_earns_one() {
        let rows = [
            (judged(Verdict::Accepted, 4, 4), 1.0, 1.0),
            (judged(Verdict::Accepted, 0, 0), 1.0, 1.0),
            (judged(Verdict::WrongAnswer, 3, 4), 0.0, 0.75),
            (judged(Verdict::WrongAnswer, 4, 4), 0.0, 0.75),
            (judged(Verdict::TimeLimitExceeded, 1, 4), 0.0, 0.25),
            (judged(Verdict::SecurityViolation, 3, 4), 0.0, 0.0),
            (judged(Verdict::NoAnswer, 0, 0), 0.0, 0.0),
        ];
        let scored = |verdict, score| Judgement { score: Some(score), ..judged(verdict, 3, 4) };
        let rows = rows.into_iter().chain([
            (scored(Verdict::WrongAnswer, 0.3), 0.0, 0.3),
            (scored(Verdict::WrongAnswer, 1.0), 0.0, 0.8),
            (scored(Verdict::SecurityViolation, 0.9), 0.0, 0.0),
        ]);
        for (judgement, all, fraction) in rows {
            assert_eq!(reward(&judgement, &RewardPolicy::AllTests), Ok(all), "{judgement:?}");
            assert_eq!(reward(&judgement, &RewardPolicy::Fraction), Ok(fraction), "{judgement:?}");
        }
    }

    #[test]
    fn formulas_see_the_judgement() {
        let shaped = "if(accepted, 1.0, if(has_answer, 0.5 * fraction, -0.5))";
        let named = "if(verdict == \"time_limit_exceeded\", -1, passed)";
        let rows = [
            (shaped, judged(Verdict::Accepted, 4, 4), 1.0),
            (shaped, judged(Verdict::WrongAnswer, 2, 4), 0.25),
            (shaped, judged(Verdict::NoAnswer, 0, 4), -0.5),
            (shaped, judged(Verdict::SecurityViolation, 4, 4), 0.0),
            (named, judged(Verdict::TimeLimitExceeded, 2, 4), -1.0),
            (named, judged(Verdict::WrongAnswer, 2, 4), 2.0),
        ];
        for (formula, judgement, wanted) in rows {
            let policy = RewardPolicy::Formula(RewardFormula::new(formula).unwrap());
            assert_eq!(reward(&judgement, &policy), Ok(wanted), "{formula}: {judgement:?}");
            assert!(policy.needs_all_tests());
        }
        let plain = RewardPolicy::Formula(RewardFormula::new("if(accepted, 1, -1)").unwrap());
        assert!(!plain.needs_all_tests());
    }

    #[test]
    fn formulas_that_give_no_number_are_refused() {
        for (formula, part) in [
            ("accepted", "umber"),
            ("1000 * passed", "it gives 2000"),
            ("passed / 0.0", "it gives"),
            ("speed", "unknown variable speed"),
            ("math::ln(-1)", "it gives NaN"),
        ] {
            let error = RewardFormula::new(formula).expect_err(formula).to_string();
            assert!(error.contains(part), "{formula}: {error}");
        }
        // Divides by what is only zero for some judgements: the caller's mistake, said when it shows.
        let policy = RewardPolicy::Formula(RewardFormula::new("1.0 / total").unwrap());
        let error = reward(&judged(Verdict::NoAnswer, 0, 0), &policy).expect_err("no number").to_string();
        assert!(error.contains("1.0 / total"), "{error}");
    }
}
