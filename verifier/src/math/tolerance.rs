//! Tolerance rules the user writes, such as `math::abs(pred - gold) <= 0.01 * math::abs(gold)`.
//!
//! This is the one place where evalexpr runs: on a rule from the command line or a configuration, never on
//! what a model wrote. The rule sees two floats, `gold` and `pred`, and is asked only where both answers are
//! real numbers that were not found equal. evalexpr recurses over brackets and is slow on long runs of
//! signs, so length and nesting are capped before it sees a rule.

use evalexpr::{
    ContextWithMutableVariables, EvalexprError, HashMapContext, Node, Value, build_operator_tree,
};
use std::fmt;
use std::sync::Arc;

const LONGEST: usize = 400;
const DEEPEST: usize = 16;

/// A compiled rule.
#[derive(Clone)]
pub struct ToleranceRule {
    text: Arc<str>,
    tree: Arc<Node>,
}

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

impl ToleranceRule {
    /// Compiles a rule and tries it once.
    ///
    /// # Errors
    /// [`InvalidRule`] where it is too long, too deep, not an expression of `gold` and `pred`, or not a
    /// condition.
    pub fn new(rule: &str) -> Result<ToleranceRule, InvalidRule> {
        let refuse = |what: String| InvalidRule { rule: rule.chars().take(LONGEST).collect(), what };
        if rule.len() > LONGEST {
            return Err(refuse(format!("longer than {LONGEST} bytes")));
        }
        if nesting(rule) > DEEPEST {
            return Err(refuse(format!("nested deeper than {DEEPEST}")));
        }
        let tree = build_operator_tree(rule).map_err(|error| refuse(error.to_string()))?;
        let compiled = ToleranceRule { text: rule.into(), tree: Arc::new(tree) };
        for variable in compiled.tree.iter_variable_identifiers() {
            if variable != "gold" && variable != "pred" {
                return Err(refuse(format!("unknown variable {variable}")));
            }
        }
        match compiled.evaluate(1.5, 2.5) {
            Ok(_) => Ok(compiled),
            Err(error) => Err(refuse(error.to_string())),
        }
    }

    /// Whether the rule takes `pred` for `gold`; a rule that fails on these numbers does not.
    pub fn accepts(&self, gold: f64, pred: f64) -> bool {
        self.evaluate(gold, pred).unwrap_or(false)
    }

    fn evaluate(&self, gold: f64, pred: f64) -> Result<bool, EvalexprError> {
        let mut context = HashMapContext::new();
        context.set_value("gold".to_owned(), Value::Float(gold))?;
        context.set_value("pred".to_owned(), Value::Float(pred))?;
        self.tree.eval_boolean_with_context(&context)
    }
}

/// The deepest nesting a recursive reader can meet: open brackets and runs of prefix signs.
fn nesting(rule: &str) -> usize {
    let (mut depth, mut signs, mut deepest) = (0_usize, 0_usize, 0_usize);
    for c in rule.bytes() {
        match c {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'-' | b'!' | b'^' => signs += 1,
            b' ' => {}
            _ => signs = 0,
        }
        deepest = deepest.max(depth + signs);
    }
    deepest
}

impl PartialEq for ToleranceRule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ToleranceRule {}

impl fmt::Debug for ToleranceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToleranceRule").field(&self.text).finish()
    }
}
