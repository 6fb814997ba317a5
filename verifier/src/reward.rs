//! A judgement becomes a number here and nowhere else.

use crate::verdict::{Judgement, Verdict};

/// How the number is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RewardPolicy {
    /// 1 when accepted, else 0.
    #[default]
    AllTests,
    /// The score where the problem has one; else passed tests over all tests.
    Fraction,
}

impl RewardPolicy {
    /// The name on the wire and in recipes.
    pub fn name(self) -> &'static str {
        match self {
            RewardPolicy::AllTests => "all",
            RewardPolicy::Fraction => "fraction",
        }
    }

    /// Reads [`RewardPolicy::name`].
    pub fn from_name(name: &str) -> Option<RewardPolicy> {
        [RewardPolicy::AllTests, RewardPolicy::Fraction].into_iter().find(|policy| policy.name() == name)
    }

    /// Whether tests after a failed one matter.
    pub fn needs_all_tests(self) -> bool {
        self == RewardPolicy::Fraction
    }
}

/// The number for a judgement, between 0 and 1.
pub fn reward(judgement: &Judgement, policy: RewardPolicy) -> f64 {
    let accepted = judgement.verdict == Verdict::Accepted;
    match policy {
        _ if accepted => 1.0,
        RewardPolicy::AllTests => 0.0,
        // A security violation earns nothing, whatever passed before it; and nothing but acceptance earns 1.
        RewardPolicy::Fraction if judgement.verdict == Verdict::SecurityViolation || judgement.total == 0 => {
            0.0
        }
        RewardPolicy::Fraction if judgement.score.is_some() => {
            judgement.score.unwrap_or_default().clamp(0.0, 1.0 - 1.0 / (1.0 + judgement.total as f64))
        }
        RewardPolicy::Fraction => judgement.passed.min(judgement.total - 1) as f64 / judgement.total as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Happened;

    #[test]
    fn only_acceptance_earns_one() {
        let judged = |verdict, passed, total| Judgement {
            verdict,
            passed,
            ..Judgement::before_tests(Happened::NothingToGrade, total)
        };
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
            assert_eq!(reward(&judgement, RewardPolicy::AllTests), all, "{judgement:?}");
            assert_eq!(reward(&judgement, RewardPolicy::Fraction), fraction, "{judgement:?}");
        }
    }
}
