//! Policies: what counts as the same answer where mathematics alone does not say.

use super::{Budget, ToleranceRule};

/// A named set of policies. `DESIGN.md` in this folder has the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MathProfile {
    /// The name on the command line and in reports.
    pub name: &'static str,
    /// Without a box, look for "answer is", the last `$...$`, the last number; off for rewards.
    pub fallbacks: bool,
    /// In a bare comma list of numbers the order counts. Points, assignments and lists with "or" never have
    /// one.
    pub ordered_lists: bool,
    /// A bare number also equals the same number of percent, whichever side carries the sign.
    pub loose_percent: bool,
    /// In a chain such as `2+3=5` given for a value the last member is the answer.
    pub last_of_chain: bool,
    /// Answers may leave determinants, remainders, greatest divisors and the like to be worked out.
    pub tasks_in_answers: bool,
    /// Integers have to be written as integers, fractions of integers with the gold's own parts.
    pub literal: bool,
    /// Decimals are compared after rounding to this many places where one side is written as a decimal, and only
    /// where the two also agree to so many digits: one millionth is not two millionths.
    pub decimal_places: Option<u32>,
    /// Real numbers, one of them written as a decimal, are the same where they differ by a 10^-n part of the gold at
    /// most.
    pub relative_digits: Option<u32>,
    /// A rule of the user's for real numbers that are not equal.
    pub tolerance: Option<ToleranceRule>,
    /// Caps on the work of one comparison.
    pub budget: Budget,
}

impl MathProfile {
    /// For rewards: the box or nothing, exact values, ordered lists.
    pub const STRICT: MathProfile = MathProfile {
        name: "strict",
        fallbacks: false,
        ordered_lists: true,
        loose_percent: false,
        last_of_chain: false,
        tasks_in_answers: false,
        literal: false,
        decimal_places: None,
        relative_digits: None,
        tolerance: None,
        budget: Budget::DEFAULT,
    };

    /// Policies like those of Math-Verify 0.9: fallbacks, unordered lists, 10 = 10 %, six decimal places.
    /// Its wrong parses are not copied.
    pub const MATH_VERIFY: MathProfile = MathProfile {
        name: "math_verify",
        fallbacks: true,
        ordered_lists: false,
        loose_percent: true,
        last_of_chain: true,
        tasks_in_answers: true,
        decimal_places: Some(6),
        ..Self::STRICT
    };

    /// Policies like those of PRM800K's grader (and of those made from it and from the MATH normaliser): the box, exact
    /// values, ordered lists, signs of percent ignored, integers and fractions as written.
    pub const PRM800K: MathProfile =
        MathProfile { name: "prm800k", loose_percent: true, literal: true, ..Self::STRICT };

    /// Policies like those of Qwen2.5-Math's grader: fallbacks, ordered lists, signs of percent ignored, decimals to
    /// one part in ten thousand. Its hundredfold values and near integers are not copied.
    pub const QWEN: MathProfile = MathProfile {
        name: "qwen",
        fallbacks: true,
        loose_percent: true,
        last_of_chain: true,
        relative_digits: Some(4),
        ..Self::STRICT
    };

    /// Policies like those of the scorer AceReason's numbers were made with, from third-party descriptions: the last
    /// box after the thinking, else less certain places; numbers as in [`MathProfile::QWEN`].
    pub const ACEREASON: MathProfile = MathProfile { name: "acereason", ..Self::QWEN };

    const ALL: [MathProfile; 5] =
        [Self::STRICT, Self::MATH_VERIFY, Self::PRM800K, Self::QWEN, Self::ACEREASON];

    /// The names [`MathProfile::named`] knows.
    pub const NAMES: [&str; 5] = ["strict", "math_verify", "prm800k", "qwen", "acereason"];

    /// The profile of that name.
    pub fn named(name: &str) -> Option<MathProfile> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }
}

impl Default for MathProfile {
    fn default() -> Self {
        Self::STRICT
    }
}
