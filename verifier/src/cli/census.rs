//! What golds a problem file holds, before any sample is graded: how many of each kind, and which cannot be read.
//! A gold that cannot be read makes its problem `unsupported`, so whoever starts a long run should hear of it first.

use std::collections::BTreeMap;

use super::output;
use assay_testsets::{Problem, Task};
use assay_verifier::math::{Gold, MathProfile, MathRules};

/// Unreadable golds named one by one; the others are only counted.
const NAMED: usize = 20;

/// Golds by kind, counted one problem at a time.
pub(crate) struct Census {
    profile: MathProfile,
    kinds: BTreeMap<&'static str, usize>,
    unreadable: usize,
    named: Vec<String>,
}

impl Census {
    pub(crate) fn new(rules: MathRules) -> Census {
        Census { profile: rules.profile(), kinds: BTreeMap::new(), unreadable: 0, named: Vec::new() }
    }

    pub(crate) fn add(&mut self, problem: &Problem) {
        let Task::Math(task) = &problem.task else { return };
        match Gold::parse(&task.ground_truth, &self.profile) {
            Ok(gold) => *self.kinds.entry(gold.kind()).or_default() += 1,
            Err(reason) => {
                self.unreadable += 1;
                if self.named.len() < NAMED {
                    self.named.push(format!("  {}: {reason}", problem.question_id));
                }
            }
        }
    }

    /// Says on stderr what kinds of golds there are; nothing where there is no math.
    pub(crate) fn report(&self) {
        for line in self.lines() {
            output::log(&line);
        }
    }

    fn lines(&self) -> Vec<String> {
        if self.kinds.is_empty() && self.unreadable == 0 {
            return Vec::new();
        }
        let mut kinds: Vec<(&str, usize)> = self.kinds.iter().map(|(&kind, &count)| (kind, count)).collect();
        kinds.sort_by_key(|&(kind, count)| (std::cmp::Reverse(count), kind));
        let counted: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let mut lines = vec![format!("golds: {}; {} cannot be read", counted.join(", "), self.unreadable)];
        lines.extend(self.named.iter().cloned());
        if self.unreadable > self.named.len() {
            lines.push(format!("  and {} more", self.unreadable - self.named.len()));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::{Census, MathRules};
    use assay_testsets::Problem;

    #[test]
    fn kinds_are_counted_and_unreadable_golds_are_named() {
        let problem = |id: &str, gold: &str| {
            let row = serde_json::json!({"question_id": id, "prompt": "", "task": {"type": "math", "ground_truth": gold}});
            Problem::from_json(&row.to_string()).expect("a problem")
        };
        let problems = [
            problem("a", "5"),
            problem("b", "7"),
            problem("c", "(1,2)"),
            problem("d", "all primes that fit there"),
        ];
        let lines = |problems: &[Problem], rules| {
            let mut census = Census::new(rules);
            problems.iter().for_each(|problem| census.add(problem));
            census.lines()
        };
        let strict = lines(&problems, MathRules::Strict);
        assert_eq!(strict[0], "golds: 2 number, 1 tuple; 1 cannot be read");
        assert!(strict[1].starts_with("  d: ") && strict.len() == 2, "{strict:?}");
        assert!(lines(&[], MathRules::Strict).is_empty());
        assert_eq!(lines(&problems, MathRules::Aime)[0], "golds: 2 number; 2 cannot be read");
    }
}
