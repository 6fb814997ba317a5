//! Policies: what counts as the same answer where mathematics alone does not say, by peer and by data set.

use super::{Budget, ToleranceRule};

/// A named set of policies. `DESIGN.md` in this folder has the table.
#[derive(Debug, Clone, PartialEq)]
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
    /// Real numbers are the same where they differ by this much at most, however they are written: a row's own `error`.
    pub absolute_error: Option<f64>,
    /// Golds have to be whole numbers in this range, ends included; another one is unreadable.
    pub whole_golds: Option<(i64, i64)>,
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
        absolute_error: None,
        whole_golds: None,
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

    /// The names of the policies that copy a peer's, and of `strict`.
    pub const NAMES: [&str; 5] = ["strict", "math_verify", "prm800k", "qwen", "acereason"];

    /// The profile of that name, [`MathProfile::NAMES`] or a data set's ([`MathRules`]).
    pub fn named(name: &str) -> Option<MathProfile> {
        MathRules::from_name(name).map(MathRules::profile)
    }
}

impl Default for MathProfile {
    fn default() -> Self {
        Self::STRICT
    }
}

/// Whose rules decide over math answers: a peer's policies, or what a data set asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MathRules {
    /// [`MathProfile::STRICT`], for rewards.
    #[default]
    Strict,
    /// [`MathProfile::MATH_VERIFY`].
    MathVerify,
    /// [`MathProfile::PRM800K`].
    Prm800k,
    /// [`MathProfile::QWEN`].
    Qwen,
    /// [`MathProfile::ACEREASON`].
    AceReason,
    /// AIME: golds are whole numbers from 0 to 999, and so is an answer, written as one.
    Aime,
    /// MATH and MATH-500: strict, but bare lists have no order.
    Math,
    /// GSM8K: strict; golds are numbers.
    Gsm8k,
    /// OlympiadBench: bare lists have no order; decimals to one part in 10^8 of the gold, real numbers to the row's own
    /// `error` where it has one ([`MathProfile::absolute_error`]).
    OlympiadBench,
    /// Minerva: decimals and powers of ten within 2 % of the gold, everything else exactly.
    Minerva,
}

/// Minerva's golds are measured or rounded where they are decimals, and exact where they are not.
const MINERVA: &str = "gold_is_decimal && math::abs(pred - gold) <= 0.02 * math::abs(gold)";

impl MathRules {
    /// All of them.
    pub const ALL: [MathRules; 10] = [
        MathRules::Strict,
        MathRules::MathVerify,
        MathRules::Prm800k,
        MathRules::Qwen,
        MathRules::AceReason,
        MathRules::Aime,
        MathRules::Math,
        MathRules::Gsm8k,
        MathRules::OlympiadBench,
        MathRules::Minerva,
    ];

    /// The name on the command line, on the wire and in reports.
    pub fn name(self) -> &'static str {
        match self {
            MathRules::Strict => "strict",
            MathRules::MathVerify => "math_verify",
            MathRules::Prm800k => "prm800k",
            MathRules::Qwen => "qwen",
            MathRules::AceReason => "acereason",
            MathRules::Aime => "aime",
            MathRules::Math => "math",
            MathRules::Gsm8k => "gsm8k",
            MathRules::OlympiadBench => "olympiadbench",
            MathRules::Minerva => "minerva",
        }
    }

    /// Reads [`MathRules::name`].
    pub fn from_name(name: &str) -> Option<MathRules> {
        MathRules::ALL.into_iter().find(|rules| rules.name() == name)
    }

    /// All names, for messages.
    pub fn names() -> String {
        MathRules::ALL.map(MathRules::name).join(", ")
    }

    /// The policies behind the name.
    pub fn profile(self) -> MathProfile {
        let strict = MathProfile { name: self.name(), ..MathProfile::STRICT };
        match self {
            MathRules::Strict => MathProfile::STRICT,
            MathRules::MathVerify => MathProfile::MATH_VERIFY,
            MathRules::Prm800k => MathProfile::PRM800K,
            MathRules::Qwen => MathProfile::QWEN,
            MathRules::AceReason => MathProfile::ACEREASON,
            MathRules::Aime => MathProfile { whole_golds: Some((0, 999)), literal: true, ..strict },
            MathRules::Math => MathProfile { ordered_lists: false, ..strict },
            MathRules::Gsm8k => strict,
            MathRules::OlympiadBench => {
                MathProfile { ordered_lists: false, relative_digits: Some(8), ..strict }
            }
            MathRules::Minerva => MathProfile { tolerance: ToleranceRule::new(MINERVA).ok(), ..strict },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MathProfile, MathRules};

    #[test]
    fn every_name_has_its_profile() {
        for rules in MathRules::ALL {
            assert_eq!(MathRules::from_name(rules.name()), Some(rules));
            assert_eq!(rules.profile().name, rules.name());
        }
        assert!(MathProfile::NAMES.iter().all(|name| MathProfile::named(name).is_some()));
        assert!(MathRules::Minerva.profile().tolerance.is_some(), "the rule compiles");
    }
}
