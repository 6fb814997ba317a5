//! Is this answer the same as that one? A symbolic checker for final answers in mathematics: sound, total, without a
//! computer algebra system and without state.
//!
//! ```
//! use assay_verifier::math::{Gold, MathProfile, MathVerdict, Prediction, Proof, grade};
//!
//! let profile = MathProfile::STRICT;
//! let gold = Gold::parse(r"\frac{1}{1+\sqrt{2}}", &profile)?;
//! let result = grade(&gold, Prediction::Completion(r"... so it is $\boxed{\sqrt2 - 1}$."), &profile);
//! assert_eq!((result.verdict, result.proof), (MathVerdict::Equal, Some(Proof::Exact)));
//!
//! let result = grade(&gold, Prediction::Answer("0.41421356"), &profile);
//! assert_eq!(result.verdict, MathVerdict::Different);
//! # Ok::<(), assay_verifier::math::Unreadable>(())
//! ```
//!
//! A [`Gold`] is parsed once, with its canonical form where it is one value, and used for any number of predictions from
//! any thread. [`grade`] is a function of gold, prediction and [`MathProfile`]: it never panics, never waits, and does no
//! more than its [`Budget`] allows, whatever it is given.
//!
//! # Verdicts
//!
//! | [`MathVerdict`] | says |
//! |---|---|
//! | `Equal` | the same answer; the [`Proof`] says how that is known |
//! | `Different` | proven to be another answer, or another by a policy the reason names |
//! | `Unsupported` | the prediction, or the comparison it asks for, is not understood; the reason says what |
//! | `Limit` | deciding would cost more than the budget |
//! | `NoAnswer` | there is nothing to grade |
//!
//! A *gold* that is not understood is no verdict but an [`Unreadable`] error: the problem is set aside for every
//! prediction. A prediction that is not understood, or costs too much, is its author's fault and is graded wrong.
//!
//! # What each proof means
//!
//! `Different` is always proven: by type (a list is no number), by exact arithmetic, by the linear independence of the
//! atoms of a canonical form, by a point modulo a prime, or by an interval without zero at a point where both sides are
//! defined.
//!
//! | [`Proof`] of `Equal` | means | may be wrong |
//! |---|---|---|
//! | `Exact` | equal canonical forms, every divisor met on the way proven non-zero somewhere; or equal words | no |
//! | `Identity { bits }` | two rational functions agree at two points each modulo 2^61 - 1 and 2^61 - 31 | with probability at most 2^-bits, by Schwartz and Zippel: (2d/p)^4 for degree d, which is below 2^-72 for any degree that is let through |
//! | `Numeric { bits }` | nothing distinguishes the two at 512 bits, at three points where there are variables, and all parts lie within 2^-64 .. 2^64 | no bound is proven; two such values that differ agree to 400 bits |
//! | `Rounded { places }`, `Tolerance` | a policy the profile or the user asked for, never of `strict` by itself | it is no equality |
//!
//! Two things are trusted: the standard library's elementary functions to 64 units in the last place, and dashu's big
//! floats to round as they are asked. The points are fixed, so that a verdict can be repeated. Values are equal where
//! both sides are defined; where one side has a logarithm or an inverse function that is not defined at a point at which
//! the other side is, the verdict is `Unsupported`.
//!
//! # Grammar
//!
//! LaTeX and plain text, with or without `$` or a box around it; Unicode signs are read as their LaTeX. What is
//! ambiguous is refused by name, never guessed.
//!
//! ```text
//! answer    = [name "="] (list | value | relation | interval | union | set | words)
//! list      = item {("," | ";" | "or" | "and") item}          1, 2    x = 1 or x = 2    \pm 3
//! tuple     = "(" item {"," item} ")" | "\langle" .. "\rangle"
//! set       = "\{" [item {"," item}] "\}" | "\{" name "\mid" relation "\}" | "\emptyset"
//! interval  = ("(" | "[") value "," value (")" | "]");  union = interval {"\cup" interval}
//! relation  = value {("=" | "<" | "\le" | "\ne" | "\in" | "\approx") value}
//! system    = "\begin{cases}" relation {"\\\\" relation} "\end{cases}";  also definitions by cases
//! matrix    = "\begin{pmatrix}" value {"&" value} {"\\\\" ..} "\end{pmatrix}"    sums, products and small powers of them
//! value     = sum ["\%" | unit | "^\circ" | "\pmod" value];  ratio = sum {":" sum};  times and dates as words
//! sum       = product {("+" | "-" | "\pm") product}
//! product   = factor {["\cdot" | "*" | "/"] factor}              side by side multiplies: 2x, 3\sqrt2
//! factor    = atom ["!"] ["^" exponent]
//! atom      = number | letter | constant | "\frac" .. | "\sqrt" .. | "\binom" .. | function atom | "(" sum ")" | "|" sum "|"
//! number    = 12 | 1,234 | 1{,}234 | 1\,234 | 0.5 | .5 | 2\frac13 | 0.\overline{3} | 0.(3) | 1e-7 | 1.5\times10^3 | 1101_2
//! constant  = "\pi" | "e" | "i" | "\infty"
//! function  = sin, cos, .., arctan, sinh, .., exp, ln, log, log_b, floor, ceil, binom, C(n,k); gcd, lcm, max, min, det in golds
//! ```
//!
//! # Tiers
//!
//! An answer goes through tiers, cheapest first, and stops at the first that decides ([`Tier`]):
//!
//! 1. `scan` finds the answer in a completion (the last box after the last thought), one pass over the bytes.
//! 2. `fast` compares plain integers, decimals and fractions as reduced i128 fractions.
//! 3. `lex` and `parse` read LaTeX or plain text into a typed answer; what they do not understand they say.
//! 4. `compare` dispatches on the type of the gold: lists, sets, tuples, intervals, matrices, equations, units,
//!    words.
//! 5. `formal` brings values to an exact canonical form; equal forms are equal values, and for sums of independent
//!    atoms different forms are different values.
//! 6. `identity` tests rational functions too long to multiply out modulo two primes.
//! 7. `numeric` encloses the difference in intervals of rising precision.
//!
//! # Policies
//!
//! What mathematics alone does not decide (order in a list, a decimal for a fraction, percent signs, where the answer
//! stands) is a [`MathProfile`]: `strict` for rewards, four that follow a peer's policies, and one for each of some data
//! sets ([`MathRules`]). A [`ToleranceRule`] is a condition written by the user. `math/DESIGN.md` has the table, the
//! conventions and the gaps.
//!
//! # Sources
//!
//! - J. Schwartz, Fast probabilistic algorithms for verification of polynomial identities, J. ACM 27 (1980); R. Zippel,
//!   Probabilistic algorithms for sparse polynomials (1979).
//! - A. Besicovitch, On the linear independence of fractional powers of integers, J. London Math. Soc. 15 (1940).
//! - V. Pratt, Top down operator precedence (1973), for the parser of arithmetic.
//! - A. Ziv, Fast evaluation of elementary mathematical functions with correctly rounded last bit (1991), as dashu does.
//! - The policies of Math-Verify, PRM800K, Qwen2.5-Math and OlympiadBench, from their published graders.

mod ast;
mod budget;
mod compare;
mod domain;
mod fast;
mod formal;
mod identity;
mod lex;
mod numeric;
mod parse;
mod print;
mod profile;
mod scan;
mod tolerance;
mod units;

pub use budget::Budget;
pub use profile::{MathProfile, MathRules};
pub use tolerance::{InvalidRule, ToleranceRule};

use ast::Ast;
use budget::{Stop, Work};
use compare::{Found, Prepared};
use fast::Fraction;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

/// What the checker says about one prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MathVerdict {
    /// The same answer; [`MathResult::proof`] says how that is known.
    Equal,
    /// Proven to be another answer.
    Different,
    /// The prediction, or the comparison it asks for, is outside what the checker understands.
    Unsupported,
    /// Deciding would cost more than the budget allows.
    Limit,
    /// There is no answer to grade.
    NoAnswer,
}

impl MathVerdict {
    /// The name used in JSON and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            MathVerdict::Equal => "equal",
            MathVerdict::Different => "different",
            MathVerdict::Unsupported => "unsupported",
            MathVerdict::Limit => "limit",
            MathVerdict::NoAnswer => "no_answer",
        }
    }
}

/// How an equality is known, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proof {
    /// Equal canonical forms, or equal words.
    Exact,
    /// Equal as rational functions but for an error probability of at most 2^-bits.
    Identity {
        /// Minus log2 of the error probability.
        bits: u32,
    },
    /// Not distinguishable at this many bits.
    Numeric {
        /// The precision.
        bits: u32,
    },
    /// Equal after rounding to this many decimal places, by policy of the profile.
    Rounded {
        /// The decimal places.
        places: u32,
    },
    /// Accepted by the user's tolerance rule.
    Tolerance,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Proof::Exact => f.write_str("exact"),
            Proof::Identity { bits } => write!(f, "identity(p<=2^-{bits})"),
            Proof::Numeric { bits } => write!(f, "numeric({bits})"),
            Proof::Rounded { places } => write!(f, "rounded({places})"),
            Proof::Tolerance => f.write_str("tolerance"),
        }
    }
}

impl Serialize for Proof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where the answer was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extraction {
    /// The last complete `\boxed{..}`.
    Boxed,
    /// After "answer is" or "answer:".
    Anchor,
    /// The last `$..$`.
    LastFormula,
    /// The last number of the text.
    LastNumber,
    /// The caller gave the bare answer.
    Answer,
    /// Nowhere.
    None,
}

impl Extraction {
    /// The name used in JSON and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Extraction::Boxed => "boxed",
            Extraction::Anchor => "anchor",
            Extraction::LastFormula => "last_formula",
            Extraction::LastNumber => "last_number",
            Extraction::Answer => "answer",
            Extraction::None => "none",
        }
    }
}

/// What is graded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prediction<'a> {
    /// Everything the model wrote; the answer has to be found in it.
    Completion(&'a str),
    /// The answer itself.
    Answer(&'a str),
}

/// The tier that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// No answer was found.
    Scan,
    /// Integers, decimals and fractions straight from the bytes.
    Fast,
    /// Parsing ended it.
    Parse,
    /// Typed comparison, down to canonical forms, identities and intervals.
    Compare,
}

impl Tier {
    /// The name used in JSON and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Scan => "scan",
            Tier::Fast => "fast",
            Tier::Parse => "parse",
            Tier::Compare => "compare",
        }
    }
}

/// The result of grading one prediction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MathResult {
    /// What was decided.
    pub verdict: MathVerdict,
    /// Why, in a few words; for `Unsupported` it names what was not understood.
    pub reason: Cow<'static, str>,
    /// How an equality is known; only with `Equal`.
    pub proof: Option<Proof>,
    /// Where the answer was found.
    pub extraction: Extraction,
    /// The tier that decided.
    pub tier: Tier,
    /// What the comparison cost, in steps of its [`Budget`]; finding and reading the answer are linear and not counted.
    pub steps: u64,
}

/// A gold answer that cannot be graded against: `unsupported` for every prediction, never a zero reward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the gold answer {gold:?}: {reason}")]
pub struct Unreadable {
    /// The gold as given, cut after 200 characters.
    pub gold: String,
    /// What was not understood.
    pub reason: String,
}

/// A gold answer, parsed once and used for any number of predictions, from any thread.
#[derive(Debug, Clone)]
pub struct Gold {
    /// What is accepted; more than one where a file lists alternatives (`['0.01', '1e-2']`).
    readings: Vec<Spelling>,
    /// Alternatives that could not be read: then no prediction is proven to be different.
    unread: Option<Stop>,
}

/// One way to write the gold.
#[derive(Debug, Clone)]
struct Spelling {
    text: Box<str>,
    fast: Option<Fraction>,
    /// Parsed at once, except for plain numbers, which hardly ever need it.
    prepared: OnceLock<Prepared>,
}

impl Spelling {
    fn of(text: &str, profile: &MathProfile) -> Result<Spelling, Stop> {
        let inner = parse::unwrap(parse::without_heading(parse::unwrap(text)));
        let fast = fast::read(inner);
        if let Some((least, most)) = profile.whole_golds {
            let whole = fast.filter(|value| value.denominator == 1).map(|value| value.numerator);
            if !whole.is_some_and(|value| (i128::from(least)..=i128::from(most)).contains(&value)) {
                return Err(Stop::Unsupported(
                    "a gold that is no whole number in the range of this data set",
                ));
            }
        }
        let spelling = Spelling { text: inner.into(), fast, prepared: OnceLock::new() };
        if fast.is_none() {
            spelling.prepared(&profile.budget)?;
        }
        Ok(spelling)
    }

    /// The parsed gold with its canonical form, made at the first need and kept.
    fn prepared(&self, budget: &Budget) -> Result<&Prepared, Stop> {
        if let Some(prepared) = self.prepared.get() {
            return Ok(prepared);
        }
        let prepared = Prepared::of(parse::answer(&self.text, budget)?, budget)?;
        Ok(self.prepared.get_or_init(|| prepared))
    }
}

impl Gold {
    /// Reads a gold answer (LaTeX or plain text, with or without `$` or a box around it, or the literal of a list of
    /// accepted spellings, `['..', '..']`).
    ///
    /// # Errors
    /// [`Unreadable`] where it is empty, prose, undefined, or uses notation outside the grammar.
    pub fn parse(text: &str, profile: &MathProfile) -> Result<Gold, Unreadable> {
        let (mut readings, mut unread) = (Vec::new(), None);
        for spelling in parse::spellings(text, profile.budget.items) {
            match Spelling::of(&spelling, profile) {
                Ok(reading) => readings.push(reading),
                Err(stop) => unread = unread.or(Some(stop)),
            }
        }
        match unread {
            Some(stop) if readings.is_empty() => {
                Err(Unreadable { gold: text.chars().take(200).collect(), reason: describe(&stop) })
            }
            unread => Ok(Gold { readings, unread }),
        }
    }

    /// The answer as written, without what was wrapped around it; the first one where there are several.
    pub fn text(&self) -> &str {
        &self.readings[0].text
    }

    /// One word for its type: `number`, `expression`, `list`, `tuple`, `set`, `interval`, `union`, `matrix`,
    /// `equation`, `inequality`, `ratio`, `quantity`, `numeral`, `class`, `cases`, `text`.
    pub fn kind(&self) -> &'static str {
        let prepared = self.readings[0].prepared.get();
        prepared.map_or("number", |prepared| compare::kind(&prepared.ast))
    }
}

/// Grades a prediction against a gold answer.
pub fn grade(gold: &Gold, prediction: Prediction<'_>, profile: &MathProfile) -> MathResult {
    let (answer, extraction) = match prediction {
        Prediction::Answer(answer) => (answer, Extraction::Answer),
        Prediction::Completion(completion) => match scan::find_answer(completion, profile.fallbacks) {
            Some(found) => found,
            None => return no_answer("no boxed answer after the thinking"),
        },
    };
    let answer = parse::unwrap(answer);
    if answer.is_empty() {
        return no_answer("the answer is empty");
    }
    let mut work = Work::new(&profile.budget);
    let (found, tier) = decide_any(gold, answer, profile, &mut work);
    let (verdict, reason, proof) = match found {
        Found::Equal(proof) => (MathVerdict::Equal, Cow::Borrowed("same value"), Some(proof)),
        Found::Different(reason) => (MathVerdict::Different, Cow::Borrowed(reason), None),
        Found::Unsupported(what) => (MathVerdict::Unsupported, Cow::Owned(format!("answer: {what}")), None),
        Found::Limit(what) => {
            (MathVerdict::Limit, Cow::Owned(format!("answer: too much work ({what})")), None)
        }
    };
    MathResult { verdict, reason, proof, extraction, tier, steps: work.spent() }
}

/// How an answer was read, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// One word for its type, as [`Gold::kind`].
    pub kind: &'static str,
    /// The answer in one spelling, brackets where they matter.
    pub read_as: String,
    /// Its canonical form, where it is one value that has one within the budget.
    pub canonical: Option<String>,
}

/// How an answer (gold or predicted) is read.
///
/// # Errors
/// [`Unreadable`] where it is not.
pub fn reading(text: &str, profile: &MathProfile) -> Result<Reading, Unreadable> {
    let ast = parse::answer(parse::unwrap(text), &profile.budget)
        .map_err(|stop| Unreadable { gold: text.chars().take(200).collect(), reason: describe(&stop) })?;
    let canonical = compare::canonical(&ast, profile).map(|ast| ast.to_string());
    Ok(Reading { kind: compare::kind(&ast), read_as: ast.to_string(), canonical })
}

/// Equal to one of the accepted spellings, or proven different from all of them.
fn decide_any(gold: &Gold, answer: &str, profile: &MathProfile, work: &mut Work) -> (Found, Tier) {
    let mut decided = decide(&gold.readings[0], answer, profile, work);
    for reading in &gold.readings[1..] {
        if matches!(decided.0, Found::Equal(_)) {
            return decided;
        }
        let next = decide(reading, answer, profile, work);
        if matches!(next.0, Found::Equal(_)) || matches!(decided.0, Found::Different(_)) {
            decided = next;
        }
    }
    match (&decided.0, &gold.unread) {
        (Found::Different(_), Some(_)) => {
            (Found::Unsupported("another accepted spelling cannot be read"), decided.1)
        }
        _ => decided,
    }
}

fn no_answer(reason: &'static str) -> MathResult {
    MathResult {
        verdict: MathVerdict::NoAnswer,
        reason: Cow::Borrowed(reason),
        proof: None,
        extraction: Extraction::None,
        tier: Tier::Scan,
        steps: 0,
    }
}

fn decide(gold: &Spelling, answer: &str, profile: &MathProfile, work: &mut Work) -> (Found, Tier) {
    let exact_only = profile.decimal_places.is_none()
        && profile.relative_digits.is_none()
        && profile.tolerance.is_none()
        && profile.absolute_error.is_none();
    if let (Some(gold), Some(answer)) = (gold.fast, fast::read(answer))
        && (if gold == answer { !profile.literal } else { exact_only })
    {
        let found =
            if gold == answer { Found::Equal(Proof::Exact) } else { Found::Different("another number") };
        return (found, Tier::Fast);
    }
    let answer = match parse::answer(answer, &profile.budget) {
        Err(parse::CALCULUS) if profile.last_of_chain => parse::answer(last_member(answer), &profile.budget),
        read => read,
    };
    let answer = match answer {
        Ok(ast) => ast,
        Err(stop) => return (Found::from(stop), Tier::Parse),
    };
    let gold = match gold.prepared(&profile.budget) {
        Ok(prepared) => prepared,
        Err(stop) => return (Found::from(stop), Tier::Parse),
    };
    let sets_tasks = |ast: &Ast| ast.any(&|part| matches!(part, Ast::Call(f, _) if f.is_task()));
    if !profile.tasks_in_answers && sets_tasks(&answer) && !sets_tasks(&gold.ast) {
        return (Found::Unsupported("a function that is not evaluated"), Tier::Parse);
    }
    (compare::answers(gold, &answer, profile, work), Tier::Compare)
}

/// What stands after the last `=` of a chain whose other members were not understood.
fn last_member(answer: &str) -> &str {
    answer.rsplit_once('=').map_or(answer, |(_, last)| last.trim())
}

fn describe(stop: &Stop) -> String {
    match stop {
        Stop::Unsupported(what) => (*what).to_owned(),
        Stop::Limit(what) => format!("too much work ({what})"),
        Stop::Undefined(what) => format!("it has no value: {what}"),
    }
}
