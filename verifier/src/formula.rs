//! Formulas that users write: tolerance rules of the math checker and reward formulas.
//!
//! This is the one place where evalexpr runs: on text from a command line, a settings file or a request's own
//! settings, never on what a model wrote. evalexpr recurses over brackets, is slow on long runs of signs and has
//! operators that assign or chain statements, so length, nesting and signs are capped before it sees a formula, and
//! what assigns is refused. A formula sees its variables and evalexpr's functions (`math::abs`, `min`, `max`, `if`),
//! nothing else; it keeps no state, so the same numbers give the same value.

use std::fmt;
use std::sync::Arc;

use evalexpr::{ContextWithMutableVariables, HashMapContext, Node, Value, build_operator_tree};

/// Bytes of the longest formula.
const LONGEST: usize = 400;

/// Deepest nesting of brackets and runs of prefix signs.
const DEEPEST: usize = 16;

/// A compiled formula over fixed variables.
#[derive(Clone)]
pub(crate) struct Formula {
    text: Arc<str>,
    tree: Arc<Node>,
}

impl Formula {
    /// Compiles a formula of these variables; the error says what is wrong with it.
    pub(crate) fn new(text: &str, variables: &[&str]) -> Result<Formula, String> {
        if text.len() > LONGEST {
            return Err(format!("longer than {LONGEST} bytes"));
        }
        if nesting(text) > DEEPEST {
            return Err(format!("nested deeper than {DEEPEST}"));
        }
        let tree = build_operator_tree(text).map_err(|error| error.to_string())?;
        if let Some(name) = tree.iter_write_variable_identifiers().next() {
            return Err(format!("it assigns to {name}"));
        }
        if let Some(name) = tree.iter_variable_identifiers().find(|name| !variables.contains(name)) {
            return Err(format!("unknown variable {name}; the variables are {}", variables.join(", ")));
        }
        Ok(Formula { text: text.into(), tree: Arc::new(tree) })
    }

    /// The formula as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Its value for these values of the variables.
    pub(crate) fn value(&self, variables: Vec<(&str, Value)>) -> Result<Value, String> {
        let mut context = HashMapContext::new();
        for (name, value) in variables {
            context.set_value(name.to_owned(), value).map_err(|error| error.to_string())?;
        }
        self.tree.eval_with_context(&context).map_err(|error| error.to_string())
    }
}

/// The deepest nesting a recursive reader can meet: open brackets and runs of prefix signs.
fn nesting(text: &str) -> usize {
    let (mut depth, mut signs, mut deepest) = (0_usize, 0_usize, 0_usize);
    for c in text.bytes() {
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

impl PartialEq for Formula {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Formula {}

impl fmt::Debug for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Formula").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Formula;

    #[test]
    fn what_cannot_be_used_is_refused_before_evalexpr_meets_it() {
        let deep = format!("{}x{} > 0", "(".repeat(50), ")".repeat(50));
        for (text, part) in [
            ("x +* 1", ""),
            ("y < x", "unknown variable y; the variables are x"),
            ("x = 5", "assigns to x"),
            ("x += 1; x > 2", "assigns to x"),
            (&deep, "nested deeper"),
            (&format!("x > {}1", "-".repeat(100)), "nested deeper"),
            (&format!("x > {}", "0".repeat(1000)), "longer than"),
        ] {
            let formula = Formula::new(text, &["x"]);
            let error = match formula {
                Ok(formula) => formula.value(vec![("x", evalexpr::Value::Int(1))]).expect_err(text),
                Err(error) => error,
            };
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
