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
    /// Decimals are compared after rounding to this many places where one side is written as a decimal.
    pub decimal_places: Option<u32>,
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
        decimal_places: None,
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
        tolerance: None,
        budget: Budget::DEFAULT,
    };

    /// The names [`MathProfile::named`] knows.
    pub const NAMES: [&str; 2] = ["strict", "math_verify"];

    /// The profile of that name.
    pub fn named(name: &str) -> Option<MathProfile> {
        [Self::STRICT, Self::MATH_VERIFY].into_iter().find(|profile| profile.name == name)
    }
}

impl Default for MathProfile {
    fn default() -> Self {
        Self::STRICT
    }
}
