//! Units after a value. A unit that is known has a dimension and an exact factor; any other short run of
//! words ("ways", "apples") is a label without influence on the value. Words that change the meaning of what
//! they stand beside ("or", "not", "less") are never a label.

use super::lex::sign;
use dashu_ratio::RBig;

/// The highest power of a base dimension: what is written is read with it, what is printed is a product of such powers.
const MOST_POWER: i8 = 12;

/// What stands after a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Unit {
    /// A product of powers of base dimensions and the exact factor to the base unit.
    Known { dimension: Dimension, factor: RBig },
    /// Words that only name what was counted.
    Label(String),
}

/// Exponents of length, mass, time, dollars, angle, temperature, current, amount, euros, pounds sterling, yen, radians.
/// Currencies have an axis each: no rate between them is exact. So have radians: their factor to degrees is no fraction.
pub(crate) type Dimension = [i8; AXES];

const AXES: usize = 12;

const LENGTH: usize = 0;
const MASS: usize = 1;
const TIME: usize = 2;
const MONEY: usize = 3;
const ANGLE: usize = 4;
const TEMPERATURE: usize = 5;
const CURRENT: usize = 6;
const AMOUNT: usize = 7;
const EURO: usize = 8;
const STERLING: usize = 9;
const YEN: usize = 10;
const RADIAN: usize = 11;

/// `(names, dimension, numerator, denominator)` of the factor to the base unit (m, kg, s, dollar, degree, K,
/// A, mol).
type Row = (&'static [&'static str], &'static [(usize, i8)], u64, u64);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    (&["m", "meter", "metre", "meters", "metres"], &[(LENGTH, 1)], 1, 1),
    (&["cm", "centimeter", "centimeters", "centimetre", "centimetres"], &[(LENGTH, 1)], 1, 100),
    (&["mm", "millimeter", "millimeters", "millimetres"], &[(LENGTH, 1)], 1, 1000),
    (&["dm", "decimeters", "decimetres"], &[(LENGTH, 1)], 1, 10),
    (&["km", "kilometer", "kilometers", "kilometre", "kilometres"], &[(LENGTH, 1)], 1000, 1),
    (&["nm", "nanometers"], &[(LENGTH, 1)], 1, 1_000_000_000),
    (&["in", "inch", "inches"], &[(LENGTH, 1)], 254, 10_000),
    (&["ft", "foot", "feet"], &[(LENGTH, 1)], 3048, 10_000),
    (&["yd", "yard", "yards"], &[(LENGTH, 1)], 9144, 10_000),
    (&["mi", "mile", "miles"], &[(LENGTH, 1)], 1_609_344, 1000),
    (&["g", "gram", "grams"], &[(MASS, 1)], 1, 1000),
    (&["kg", "kilogram", "kilograms"], &[(MASS, 1)], 1, 1),
    (&["mg", "milligrams"], &[(MASS, 1)], 1, 1_000_000),
    (&["lb", "lbs", "pound", "pounds"], &[(MASS, 1)], 45_359_237, 100_000_000),
    (&["s", "sec", "secs", "second", "seconds"], &[(TIME, 1)], 1, 1),
    (&["ms", "milliseconds"], &[(TIME, 1)], 1, 1000),
    (&["min", "mins", "minute", "minutes"], &[(TIME, 1)], 60, 1),
    (&["h", "hr", "hrs", "hour", "hours"], &[(TIME, 1)], 3600, 1),
    (&["day", "days"], &[(TIME, 1)], 86_400, 1),
    (&["week", "weeks"], &[(TIME, 1)], 604_800, 1),
    (&["mph"], &[(LENGTH, 1), (TIME, -1)], 1_609_344, 3_600_000),
    (&["Hz", "hertz"], &[(TIME, -1)], 1, 1),
    (&["N", "newton", "newtons"], &[(MASS, 1), (LENGTH, 1), (TIME, -2)], 1, 1),
    (&["J", "joule", "joules"], &[(MASS, 1), (LENGTH, 2), (TIME, -2)], 1, 1),
    (&["W", "watt", "watts"], &[(MASS, 1), (LENGTH, 2), (TIME, -3)], 1, 1),
    (&["Pa", "pascals"], &[(MASS, 1), (LENGTH, -1), (TIME, -2)], 1, 1),
    (&["L", "l", "liter", "liters", "litre", "litres"], &[(LENGTH, 3)], 1, 1000),
    (&["mL", "ml", "milliliters"], &[(LENGTH, 3)], 1, 1_000_000),
    (&["dollar", "dollars", "USD"], &[(MONEY, 1)], 1, 1),
    (&["cent", "cents"], &[(MONEY, 1)], 1, 100),
    (&["euro", "euros", "EUR"], &[(EURO, 1)], 1, 1),
    (&["GBP"], &[(STERLING, 1)], 1, 1),
    (&["yen", "JPY"], &[(YEN, 1)], 1, 1),
    (&["degree", "degrees", "deg"], &[(ANGLE, 1)], 1, 1),
    (&["rad", "radian", "radians"], &[(RADIAN, 1)], 1, 1),
    (&["K", "kelvin"], &[(TEMPERATURE, 1)], 1, 1),
    (&["A", "ampere", "amperes"], &[(CURRENT, 1)], 1, 1),
    (&["mol", "moles"], &[(AMOUNT, 1)], 1, 1),
];

/// Words that are never a label: they join, deny, compare or scale.
const NOT_LABELS: &[&str] = &[
    "or",
    "and",
    "not",
    "no",
    "never",
    "if",
    "unless",
    "except",
    "but",
    "than",
    "less",
    "more",
    "least",
    "most",
    "between",
    "to",
    "from",
    "through",
    "plus",
    "minus",
    "times",
    "over",
    "either",
    "neither",
    "nor",
    "both",
    "any",
    "all",
    "none",
    "is",
    "are",
    "equals",
    "equal",
    "wrong",
    "false",
    "true",
    "maybe",
    "instead",
    "approximately",
    "about",
    "hundred",
    "thousand",
    "million",
    "billion",
    "trillion",
    "dozen",
    "half",
    "third",
    "quarter",
    "double",
    "radian",
    "radians",
    "rad",
    "percent",
    "squared",
    "root",
    "where",
    "when",
    "for",
    "with",
    "without",
    "only",
    "k",
    "pair",
    "pairs",
    "couple",
    "gross",
    "score",
    "hundreds",
    "thousands",
    "millions",
    "billions",
    "dozens",
    "tens",
    "tenth",
    "tenths",
    "hundredth",
    "hundredths",
    "thousandth",
    "thousandths",
    "thirds",
    "quarters",
    "halves",
    "cubed",
    "factorial",
    "infinity",
    "am",
    "pm",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "zero",
    "mod",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
    "fourth",
    "fourths",
    "fifth",
    "fifths",
    "sixth",
    "sixths",
    "seventh",
    "sevenths",
    "eighth",
    "eighths",
    "ninth",
    "ninths",
    "eleventh",
    "elevenths",
    "twelfth",
    "twelfths",
    "sixteenth",
    "sixteenths",
    "twentieth",
    "twentieths",
    "millionth",
    "millionths",
    "once",
    "twice",
    "thrice",
    "triple",
    "quadruple",
    "lakh",
    "lakhs",
    "crore",
    "crores",
    "mil",
    "mill",
    "mn",
    "bn",
    "tn",
    "kilo",
    "mega",
    "giga",
    "tera",
    "micro",
    "milli",
    "nano",
    "grand",
    "googol",
    "negative",
    "opposite",
    "inverse",
    "reciprocal",
    "imaginary",
    "below",
    "under",
    "above",
    "binary",
    "ternary",
    "octal",
    "hex",
    "hexadecimal",
    "base",
    "cube",
    "out",
    "off",
    "permille",
    "percentage",
    "basis",
    "greater",
    "larger",
    "smaller",
    "fewer",
    "remainder",
    "repeating",
    "recurring",
    "choose",
    "divided",
    "multiplied",
    "added",
    "subtracted",
    "raised",
    "power",
];

impl Unit {
    /// The currency of a sign such as `$`.
    pub(crate) fn currency(sign: char) -> Option<Unit> {
        let axis = match sign {
            '$' => MONEY,
            sign::EURO => EURO,
            sign::POUND => STERLING,
            sign::YEN => YEN,
            _ => return None,
        };
        Some(Unit::base(axis))
    }

    pub(crate) fn degrees() -> Unit {
        Unit::base(ANGLE)
    }

    fn base(axis: usize) -> Unit {
        let mut dimension = [0; AXES];
        dimension[axis] = 1;
        Unit::Known { dimension, factor: RBig::ONE }
    }

    /// Whether this is a plain angle in degrees (`Some(true)`) or in radians.
    pub(crate) fn is_degrees(dimension: &Dimension) -> Option<bool> {
        let Unit::Known { dimension: degrees, .. } = Unit::degrees() else { return None };
        let Unit::Known { dimension: radians, .. } = Unit::base(RADIAN) else { return None };
        (*dimension == degrees).then_some(true).or((*dimension == radians).then_some(false))
    }

    /// Whether two dimensions may name the same: a pound is a mass or money.
    pub(crate) fn may_be_one_name(a: &Dimension, b: &Dimension) -> bool {
        let pound = |x: &Dimension| x.iter().map(|power| i32::from(*power).abs()).sum::<i32>() == 1;
        let either = |x: &Dimension, y: &Dimension| x[STERLING] == 1 && y[MASS] == 1;
        pound(a) && pound(b) && (either(a, b) || either(b, a))
    }

    /// Reads the words, `/`, `*` and `^n` after a value; `None` where they may not stand after one.
    pub(crate) fn read(parts: &[UnitPart<'_>]) -> Option<Unit> {
        known(parts).or_else(|| label(parts))
    }
}

impl Unit {
    /// The factor to the base units, and these in words that are read back: `m s^-1`.
    pub(crate) fn in_base_units(&self) -> (RBig, String) {
        const NAMES: [&str; AXES] =
            ["m", "kg", "s", "dollars", "degrees", "K", "A", "mol", "euros", "GBP", "yen", "radians"];
        match self {
            // Joined, so that a label of unit-like words is not read as a unit.
            // A lone letter is a label only as a capital.
            Unit::Label(words) => {
                let shown = |word: &str| match word.len() {
                    1 => word.to_ascii_uppercase(),
                    _ => word.to_owned(),
                };
                (RBig::ONE, words.split(' ').map(shown).collect::<Vec<String>>().join("-"))
            }
            Unit::Known { dimension, factor } => {
                let named = NAMES.iter().zip(dimension).filter(|(_, power)| **power != 0);
                let words = named.map(|(name, power)| match power {
                    1 => (*name).to_owned(),
                    power => format!("{name}^{power}"),
                });
                (factor.clone(), words.collect::<Vec<String>>().join(" "))
            }
        }
    }
}

/// A piece of what stands after a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum UnitPart<'a> {
    Words(&'a str),
    Power(i8),
    Times,
    Per,
}

fn known(parts: &[UnitPart<'_>]) -> Option<Unit> {
    let mut dimension: Dimension = [0; AXES];
    let mut factor = RBig::ONE;
    let mut sign = 1_i8;
    let mut pieces: Vec<UnitPart<'_>> = Vec::new();
    for part in parts {
        match part {
            UnitPart::Words(words) => split_words(words, &mut pieces)?,
            other => pieces.push(*other),
        }
    }
    let mut at = 0;
    let mut any = false;
    let mut next_power = 1;
    while at < pieces.len() {
        match pieces[at] {
            UnitPart::Times => {}
            UnitPart::Per => sign = -1,
            UnitPart::Power(_) => return None,
            UnitPart::Words("square" | "sq") => next_power = 2,
            UnitPart::Words("cubic" | "cu") => next_power = 3,
            UnitPart::Words("per") => sign = -1,
            UnitPart::Words(name) => {
                let row = TABLE.iter().find(|row| row.0.contains(&name))?;
                let mut power = next_power;
                next_power = 1;
                if let Some(UnitPart::Power(written)) = pieces.get(at + 1) {
                    power = *written;
                    at += 1;
                }
                if !(-MOST_POWER..=MOST_POWER).contains(&power) || power == 0 {
                    return None;
                }
                let power = power * sign;
                for (axis, exponent) in row.1 {
                    let summed = dimension[*axis] + exponent * power;
                    if !(-MOST_POWER..=MOST_POWER).contains(&summed) {
                        return None;
                    }
                    dimension[*axis] = summed;
                }
                let step = RBig::from_parts(row.2.into(), row.3.into());
                for _ in 0..power.abs() {
                    factor = if power > 0 { factor * &step } else { factor / &step };
                }
                any = true;
            }
        }
        at += 1;
    }
    // Milliseconds per second are no unit.
    (any && dimension != [0; AXES]).then_some(Unit::Known { dimension, factor })
}

fn split_words<'a>(words: &'a str, pieces: &mut Vec<UnitPart<'a>>) -> Option<()> {
    for word in words.split([' ', '\n', '~', '\\', ',']).filter(|word| !word.is_empty()) {
        let mut first = true;
        for piece in word.split('/') {
            if !first {
                pieces.push(UnitPart::Per);
            }
            first = false;
            let (name, power) = match piece.split_once('^') {
                Some((name, power)) => (name, Some(power.trim_matches(['{', '}']).parse().ok()?)),
                None => (piece, None),
            };
            let name = name.trim_end_matches(['.', '!']);
            if !name.is_empty() {
                pieces.push(UnitPart::Words(name));
                pieces.extend(power.map(UnitPart::Power));
            }
        }
    }
    Some(())
}

fn label(parts: &[UnitPart<'_>]) -> Option<Unit> {
    let mut text = String::new();
    for part in parts {
        let words = match part {
            UnitPart::Words(words) => words,
            UnitPart::Power(_) if text.contains("unit") => continue, // "units^2"
            _ => return None,
        };
        for word in words.split([' ', '\n', '~', '-', '/', '(', ')']).filter(|word| !word.is_empty()) {
            let word = word.trim_end_matches(['.', ',', '!']);
            let fine = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic() || c == '\'');
            let lower = word.to_ascii_lowercase();
            let number = NOT_LABELS.contains(&lower.as_str())
                || lower.ends_with("fold")
                || super::lex::is_function(&lower);
            let lone = word.len() == 1 && !matches!(word, "F" | "C" | "T" | "V");
            // A lone letter may be a factor as well.
            if !fine || number || lone || text.len() > 60 {
                return None;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&lower);
        }
    }
    // What is left of a unit with odd signs around it is no label.
    let unit = TABLE.iter().any(|row| row.0.contains(&text.as_str()));
    if text.is_empty() || unit { None } else { Some(Unit::Label(text)) }
}
