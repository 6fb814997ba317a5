//! Is this answer the same as that one? The symbolic checker: sound, total, without a computer algebra
//! system.
//!
//! An answer goes through tiers, cheapest first, and stops at the first that decides:
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
//! The statement: `Different` is always proven, by type, by exact arithmetic or by an interval without zero.
//! `Equal` carries its [`Proof`]. What is not understood is `Unsupported`, what is too much work is `Limit`:
//! [`Budget`] caps all work in steps and sizes, so a verdict never depends on time. `math/DESIGN.md` has the
//! policies and the gaps.
//!
//! Nothing here keeps state: grading is a function of gold, prediction and profile.

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
pub use profile::MathProfile;
pub use tolerance::{InvalidRule, ToleranceRule};

use ast::Ast;
use budget::Stop;
use compare::Found;
use fast::Fraction;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

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
    ast: Option<Ast>,
}

impl Spelling {
    fn of(text: &str, profile: &MathProfile) -> Result<Spelling, Stop> {
        let inner = parse::unwrap(parse::without_heading(parse::unwrap(text)));
        if let Some(fast) = fast::read(inner) {
            return Ok(Spelling { text: inner.into(), fast: Some(fast), ast: None });
        }
        let ast = parse::answer(inner, &profile.budget)?;
        compare::check_gold(&ast, profile)?;
        Ok(Spelling { text: inner.into(), fast: None, ast: Some(ast) })
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
        self.readings[0].ast.as_ref().map_or("number", compare::kind)
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
    let (found, tier) = decide_any(gold, answer, profile);
    let (verdict, reason, proof) = match found {
        Found::Equal(proof) => (MathVerdict::Equal, Cow::Borrowed("same value"), Some(proof)),
        Found::Different(reason) => (MathVerdict::Different, Cow::Borrowed(reason), None),
        Found::Unsupported(what) => (MathVerdict::Unsupported, Cow::Owned(format!("answer: {what}")), None),
        Found::Limit(what) => {
            (MathVerdict::Limit, Cow::Owned(format!("answer: too much work ({what})")), None)
        }
    };
    MathResult { verdict, reason, proof, extraction, tier }
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
fn decide_any(gold: &Gold, answer: &str, profile: &MathProfile) -> (Found, Tier) {
    let mut decided = decide(&gold.readings[0], answer, profile);
    for reading in &gold.readings[1..] {
        if matches!(decided.0, Found::Equal(_)) {
            return decided;
        }
        let next = decide(reading, answer, profile);
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
    }
}

fn decide(gold: &Spelling, answer: &str, profile: &MathProfile) -> (Found, Tier) {
    let exact_only =
        profile.decimal_places.is_none() && profile.relative_digits.is_none() && profile.tolerance.is_none();
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
    let parsed;
    let gold = match &gold.ast {
        Some(ast) => ast,
        // A plain number, seen by the fast path: it parses.
        None => match parse::answer(&gold.text, &profile.budget) {
            Ok(ast) => {
                parsed = ast;
                &parsed
            }
            Err(stop) => return (Found::from(stop), Tier::Parse),
        },
    };
    let sets_tasks = |ast: &Ast| ast.any(&|part| matches!(part, Ast::Call(f, _) if f.is_task()));
    if !profile.tasks_in_answers && sets_tasks(&answer) && !sets_tasks(gold) {
        return (Found::Unsupported("a function that is not evaluated"), Tier::Parse);
    }
    (compare::answers(gold, &answer, profile), Tier::Compare)
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
