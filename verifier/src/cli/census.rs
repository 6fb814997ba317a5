//! What golds a problem file holds, before any sample is graded: how many of each kind, and which cannot be read.
//! A gold that cannot be read makes its problem `unsupported`, so whoever starts a long run should hear of it first.

use std::collections::BTreeMap;

use super::output;
use assay_testsets::{Problem, Task};
use assay_verifier::math::{Gold, MathRules};

/// Unreadable golds named one by one; the others are only counted.
const NAMED: usize = 20;

/// Says on stderr what kinds of golds there are; nothing where there is no math.
pub(crate) fn report(problems: &[Problem], rules: MathRules) {
    for line in lines(problems, rules) {
        output::log(&line);
    }
}

fn lines(problems: &[Problem], rules: MathRules) -> Vec<String> {
    let profile = rules.profile();
    let mut kinds: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut unreadable = Vec::new();
    for problem in problems {
        let Task::Math(task) = &problem.task else { continue };
        match Gold::parse(&task.ground_truth, &profile) {
            Ok(gold) => *kinds.entry(gold.kind()).or_default() += 1,
            Err(reason) => unreadable.push(format!("  {}: {reason}", problem.question_id)),
        }
    }
    if kinds.is_empty() && unreadable.is_empty() {
        return Vec::new();
    }
    let mut kinds: Vec<(&str, usize)> = kinds.into_iter().collect();
    kinds.sort_by_key(|&(kind, count)| (std::cmp::Reverse(count), kind));
    let counted: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let mut lines = vec![format!("golds: {}; {} cannot be read", counted.join(", "), unreadable.len())];
    let more = unreadable.len().saturating_sub(NAMED);
    lines.extend(unreadable.into_iter().take(NAMED));
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{MathRules, lines};
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
        let lines = lines(&problems, MathRules::Strict);
        assert_eq!(lines[0], "golds: 2 number, 1 tuple; 1 cannot be read");
        assert!(lines[1].starts_with("  d: ") && lines.len() == 2, "{lines:?}");
        assert!(super::lines(&[], MathRules::Strict).is_empty());
        let aime = super::lines(&problems, MathRules::Aime);
        assert_eq!(aime[0], "golds: 2 number; 2 cannot be read");
    }
}
