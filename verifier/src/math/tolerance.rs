//! Tolerance rules the user writes, such as `math::abs(pred - gold) <= 0.01 * math::abs(gold)`, as formulas
//! (`crate::formula`). A rule is asked only where both answers are real numbers that were not found equal.

use evalexpr::Value;

use crate::formula::Formula;

/// The variables of a rule.
const VARIABLES: [&str; 5] = ["gold", "pred", "gold_is_decimal", "pred_is_decimal", "gold_places"];

/// A compiled rule: a condition on these variables.
///
/// | variable | type | is |
/// |---|---|---|
/// | `gold`, `pred` | float | the two values, to about nine digits |
/// | `gold_is_decimal`, `pred_is_decimal` | boolean | whether it is written with a decimal point or a power of ten |
/// | `gold_places` | integer | the digits behind the gold's decimal point, 0 without one |
///
/// Functions are those of evalexpr 11 (`math::abs`, `min`, `max`, `if`, ...). A rule has at most 400 bytes and 16 levels
/// of brackets and signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToleranceRule(Formula);

/// A rule that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "tolerance rule {rule:?}: {what}; write a condition on the numbers gold and pred, \
         such as \"math::abs(pred - gold) <= 0.01 * math::abs(gold)\""
)]
pub struct InvalidRule {
    /// The rule as given.
    pub rule: String,
    /// What is wrong with it.
    pub what: String,
}

/// A real number as a rule sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) value: f64,
    /// Written with a decimal point or a power of ten.
    pub(crate) is_decimal: bool,
    /// Digits behind the decimal point.
    pub(crate) places: u32,
}

impl ToleranceRule {
    /// Compiles a rule and tries it once.
    ///
    /// # Errors
    /// [`InvalidRule`] where it is too long, too deep, not an expression of the variables, or not a condition.
    pub fn new(rule: &str) -> Result<ToleranceRule, InvalidRule> {
        let refuse = |what: String| InvalidRule { rule: rule.chars().take(400).collect(), what };
        let compiled = ToleranceRule(Formula::new(rule, &VARIABLES).map_err(refuse)?);
        let one = |value| Written { value, is_decimal: true, places: 1 };
        compiled.evaluate(one(1.5), one(2.5)).map_err(refuse)?;
        Ok(compiled)
    }

    /// The rule as it was written.
    pub fn text(&self) -> &str {
        self.0.text()
    }

    /// Whether the rule takes `pred` for `gold`; a rule that fails on these numbers does not.
    pub(crate) fn accepts(&self, gold: Written, pred: Written) -> bool {
        self.evaluate(gold, pred).unwrap_or(false)
    }

    fn evaluate(&self, gold: Written, pred: Written) -> Result<bool, String> {
        let value = self.0.value(vec![
            ("gold", Value::Float(gold.value)),
            ("pred", Value::Float(pred.value)),
            ("gold_is_decimal", Value::Boolean(gold.is_decimal)),
            ("pred_is_decimal", Value::Boolean(pred.is_decimal)),
            ("gold_places", Value::Int(i64::from(gold.places))),
        ])?;
        value.as_boolean().map_err(|error| error.to_string())
    }
}
