//! Whether a printed output is right.
//!
//! Comparison happens here, outside the box, on bytes the program wrote and text it never saw. Every rule is
//! one pass over both sides: no backtracking, no recursion, no number is ever expanded, so the time is linear
//! in the lengths whatever the program prints.
//!
//! The `lcb` rule is LiveCodeBench's, which is Python's: its idea of white space ([`is_python_space`]), and its
//! `decimal` module's idea of a number (`Decimal`): underscores anywhere, digits of any script, `inf`,
//! exponents up to 10^18 either way, compared exactly (`1e1 == 10.0`, `-0 == 0`, `nan` never equal as a number).

use assay_testsets::{Checker, KattisFlags};

/// Whether `actual`, as printed, is right where `expected` is the test's own output.
pub fn output_right(checker: &Checker, expected: &str, actual: &[u8]) -> bool {
    if matches!(checker, Checker::Exact) {
        return expected.as_bytes() == actual;
    }
    // Expected outputs are UTF-8; bytes that are not can't be one of them.
    let Ok(actual) = str::from_utf8(actual) else { return false };
    match *checker {
        Checker::Exact => expected == actual,
        Checker::Lcb => lcb_equal(expected, actual),
        Checker::Tokens => expected.split_whitespace().eq(actual.split_whitespace()),
        Checker::Float { absolute, relative } => float_equal(expected, actual, absolute, relative),
        Checker::CaseInsensitive => {
            let tokens = |text: &str| text.split_whitespace().map(str::to_lowercase).collect::<Vec<String>>();
            tokens(expected) == tokens(actual)
        }
        Checker::Unordered => sorted_lines(expected) == sorted_lines(actual),
        Checker::Kattis(flags) => kattis_equal(flags, expected, actual),
        // A program decides, and it has to be run.
        Checker::Program(_) | Checker::Interactive(_) => false,
    }
}

/// The lines that hold anything, one space between tokens, in order.
fn sorted_lines(text: &str) -> Vec<Vec<&str>> {
    let tokens = text.split('\n').map(|line| line.split_whitespace().collect::<Vec<&str>>());
    let mut lines: Vec<Vec<&str>> = tokens.filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines
}

/// The AceReason toolkit's rule, as others describe it: stripped lines equal, or equal as lists of numbers within
/// numpy's default tolerance.
pub fn acereason_right(expected: &str, actual: &[u8]) -> bool {
    let Ok(actual) = str::from_utf8(actual) else { return false };
    let lines = |text| python_strip(text).split('\n').map(python_strip);
    lines(expected).count() == lines(actual).count()
        && lines(expected).zip(lines(actual)).all(|(e, a)| e == a || numbers_close(e, a))
}

/// SandboxFusion's rule: lines equal but for the case of letters and white space at their ends, or numbers that differ
/// by less than a relative 1e-5.
pub(crate) fn sandbox_fusion_right(expected: &str, actual: &str) -> bool {
    let lines = |text| python_strip(text).split('\n').map(python_strip);
    let number = |line: &str| line.parse::<f64>().ok();
    let close = |e: f64, a: f64| (e - a).abs() / e.abs().max(1e-10) < 1e-5;
    let equal = |(e, a): (&str, &str)| {
        e.to_lowercase() == a.to_lowercase()
            || matches!((number(e), number(a)), (Some(e), Some(a)) if close(e, a))
    };
    lines(expected).count() == lines(actual).count() && lines(expected).zip(lines(actual)).all(equal)
}

fn numbers_close(expected: &str, actual: &str) -> bool {
    let numbers = |text| python_tokens(text).map(|token| token.parse::<f64>().ok());
    numbers(expected).count() == numbers(actual).count()
        && numbers(expected)
            .zip(numbers(actual))
            .all(|pair| matches!(pair, (Some(e), Some(a)) if all_close(e, a)))
}

/// numpy's `allclose` of two numbers, with its defaults.
pub(crate) fn all_close(expected: f64, actual: f64) -> bool {
    let finite = expected.is_finite() && actual.is_finite();
    expected == actual || (finite && (actual - expected).abs() <= 1e-8 + 1e-5 * expected.abs())
}

fn lcb_equal(expected: &str, actual: &str) -> bool {
    let (expected, actual) = (python_strip(expected), python_strip(actual));
    let mut expected_lines = expected.split('\n');
    let mut actual_lines = actual.split('\n');
    loop {
        match (expected_lines.next(), actual_lines.next()) {
            (None, None) => return true,
            (Some(e), Some(a)) if lcb_line_equal(python_strip(e), python_strip(a)) => {}
            _ => return false,
        }
    }
}

fn lcb_line_equal(expected: &str, actual: &str) -> bool {
    if expected == actual {
        return true;
    }
    let mut expected_tokens = python_tokens(expected);
    let mut actual_tokens = python_tokens(actual);
    loop {
        match (expected_tokens.next(), actual_tokens.next()) {
            (None, None) => return true,
            (Some(e), Some(a)) => match (Decimal::parse(e), Decimal::parse(a)) {
                (Some(e), Some(a)) if e.equals(&a) => {}
                _ => return false,
            },
            _ => return false,
        }
    }
}

fn float_equal(expected: &str, actual: &str, absolute: f64, relative: f64) -> bool {
    let mut expected_tokens = expected.split_whitespace();
    let mut actual_tokens = actual.split_whitespace();
    loop {
        match (expected_tokens.next(), actual_tokens.next()) {
            (None, None) => return true,
            (Some(e), Some(a)) if e == a || float_close(e, a, absolute, relative) => {}
            _ => return false,
        }
    }
}

fn float_close(expected: &str, actual: &str, absolute: f64, relative: f64) -> bool {
    let (Ok(e), Ok(a)) = (expected.parse::<f64>(), actual.parse::<f64>()) else { return false };
    e.is_finite() && a.is_finite() && (e - a).abs() <= absolute.max(relative * e.abs())
}

/// Kattis's default output validator: tokens apart by white space of ASCII, of which numbers in the answer may be met by
/// numbers within a tolerance, where there is one.
fn kattis_equal(flags: KattisFlags, expected: &str, actual: &str) -> bool {
    let space = |c: char| c.is_ascii_whitespace() || c == '\u{b}';
    let (mut expected, mut actual) = (expected, actual);
    loop {
        let (e, a) = (expected.trim_start_matches(space), actual.trim_start_matches(space));
        if flags.space_change_sensitive {
            let blanks = (&expected[..expected.len() - e.len()], &actual[..actual.len() - a.len()]);
            if blanks.0 != blanks.1 {
                return false;
            }
        }
        if e.is_empty() || a.is_empty() {
            return e.is_empty() && a.is_empty();
        }
        let token = |text: &str| text.find(space).unwrap_or(text.len());
        let ((e_token, e_rest), (a_token, a_rest)) = (e.split_at(token(e)), a.split_at(token(a)));
        if !kattis_token_equal(flags, e_token, a_token) {
            return false;
        }
        (expected, actual) = (e_rest, a_rest);
    }
}

fn kattis_token_equal(flags: KattisFlags, expected: &str, actual: &str) -> bool {
    let tolerant = flags.absolute.is_some() || flags.relative.is_some();
    match (tolerant, expected.parse::<f64>()) {
        (true, Ok(e)) => actual.parse::<f64>().is_ok_and(|a| {
            let within = |tolerance: Option<f64>, of: f64| tolerance.is_some_and(|t| (e - a).abs() <= t * of);
            e == a || e.is_finite() && (within(flags.absolute, 1.0) || within(flags.relative, e.abs()))
        }),
        _ if flags.case_sensitive => expected == actual,
        _ => expected.eq_ignore_ascii_case(actual),
    }
}

/// White space as Python's `str.strip()` and `str.split()` have it: Unicode's, and the four separators
/// U+001C to U+001F.
pub fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn python_strip(text: &str) -> &str {
    text.trim_matches(is_python_space)
}

fn python_tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_python_space).filter(|token| !token.is_empty())
}

/// A number as Python's `decimal.Decimal(text)` reads it, kept so that equal numbers are equal values.
#[derive(Debug, PartialEq, Eq)]
enum Decimal {
    Finite {
        negative: bool,
        /// Significant digits without leading or trailing zeros; empty for zero.
        digits: Vec<u8>,
        /// Power of ten of the last digit; 0 for zero.
        exponent: i128,
    },
    Infinite {
        negative: bool,
    },
    NotANumber,
}

/// The largest and smallest exponents of Python's decimals on 64-bit machines; beyond them the text is no number.
const MAX_ADJUSTED: i128 = 999_999_999_999_999_999;
const MIN_EXPONENT: i128 = -1_999_999_999_999_999_997;

impl Decimal {
    fn equals(&self, other: &Decimal) -> bool {
        !matches!(self, Decimal::NotANumber) && self == other
    }

    fn parse(token: &str) -> Option<Decimal> {
        let text: Vec<u8> = token.chars().filter(|&c| c != '_').map(ascii_numeral).collect::<Option<_>>()?;
        let (negative, rest) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, &text[..]),
        };
        match rest.first()? {
            b'0'..=b'9' | b'.' => Decimal::parse_finite(negative, rest),
            _ => Decimal::parse_word(negative, &rest.to_ascii_lowercase()),
        }
    }

    fn parse_word(negative: bool, word: &[u8]) -> Option<Decimal> {
        if word == b"inf" || word == b"infinity" {
            return Some(Decimal::Infinite { negative });
        }
        let payload = word.strip_prefix(b"nan").or_else(|| word.strip_prefix(b"snan"))?;
        payload.iter().all(u8::is_ascii_digit).then_some(Decimal::NotANumber)
    }

    fn parse_finite(negative: bool, text: &[u8]) -> Option<Decimal> {
        let (mantissa, exponent) = match text.iter().position(|&b| b == b'e' || b == b'E') {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let mut digits = Vec::with_capacity(mantissa.len());
        let mut fraction_length: Option<i128> = None;
        for &byte in mantissa {
            match byte {
                b'.' if fraction_length.is_none() => fraction_length = Some(0),
                b'0'..=b'9' => {
                    digits.push(byte);
                    fraction_length = fraction_length.map(|length| length + 1);
                }
                _ => return None,
            }
        }
        if digits.is_empty() {
            return None;
        }
        Decimal::normalized(negative, digits, exponent - fraction_length.unwrap_or(0))
    }

    fn normalized(negative: bool, mut digits: Vec<u8>, mut exponent: i128) -> Option<Decimal> {
        let leading = digits.iter().take_while(|&&d| d == b'0').count();
        digits.drain(..leading);
        let adjusted = exponent + digits.len().max(1) as i128 - 1;
        if adjusted > MAX_ADJUSTED || exponent < MIN_EXPONENT {
            return None;
        }
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent += 1;
        }
        if digits.is_empty() {
            return Some(Decimal::Finite { negative: false, digits, exponent: 0 });
        }
        Some(Decimal::Finite { negative, digits, exponent })
    }
}

/// A signed exponent; one too long to matter saturates, so that its number is refused.
fn parse_exponent(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits.iter().fold(0i128, |value, &digit| {
        (value * 10 + i128::from(digit - b'0')).min(1_000_000_000_000_000_000_000)
    });
    Some(if negative { -magnitude } else { magnitude })
}

/// ASCII as it is, a decimal digit of any script as its ASCII digit, anything else no part of a number.
fn ascii_numeral(c: char) -> Option<u8> {
    if c.is_ascii() {
        return Some(c as u8);
    }
    let after = ZERO_DIGITS.partition_point(|&zero| zero <= c as u32);
    let offset = (c as u32).checked_sub(*ZERO_DIGITS.get(after.checked_sub(1)?)?)?;
    (offset < 10).then_some(b'0' + offset as u8)
}

/// The zero of each run of ten decimal digits in Unicode 14 (general category Nd), in order.
const ZERO_DIGITS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
    0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
    0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066,
    0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950,
    0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6,
    0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lcb_rule_is_pythons() {
        let equal = [
            ("1\n2\n", "1\r\n2\r\n"),
            ("1\n", "\n\n1\n\n"),
            ("12", "012"),
            ("12", "12.0"),
            ("10", "1e1"),
            ("5", "+5"),
            ("0", "-0"),
            ("inf", "Infinity"),
            ("-INF", "-infinity"),
            ("1000", "1_000"),
            ("1000", "_1__000_"),
            ("12", "\u{ff11}\u{ff12}"),
            ("1.5", "\u{6f1}.5"),
            ("1 2", "1\t  2"),
            ("x", "\u{a0}x\u{b}\u{c}\u{1c}"),
            ("", "\n \n"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e999999999999999999", "10e999999999999999998"),
            ("nan", "nan"),
        ];
        for (expected, actual) in equal {
            assert!(output_right(&Checker::Lcb, expected, actual.as_bytes()), "{expected:?} {actual:?}");
            assert!(output_right(&Checker::Lcb, actual, expected.as_bytes()), "{actual:?} {expected:?}");
        }
        let different = [
            ("a b", "a  b"),
            ("nan", "NaN"),
            ("Yes", "yes"),
            ("1\n2", "1\n\n2"),
            ("1\n2", "1 2"),
            ("1 2", "1"),
            ("snan", "sNaN1"),
            ("1", "1 x"),
            ("_", "0"),
            ("1e", "1"),
            ("0x10", "16"),
            ("1,000", "1000"),
            ("1", "--1"),
            ("5.828427124746", "5.82842712474619009753"),
            ("0", "0e99999999999999999999999"),
            ("1e1000000000000000000", "10e999999999999999999"),
            ("9007199254740993", "9007199254740992"),
            ("1e-1999999999999999997", "10e-1999999999999999997"),
            ("1e-1999999999999999998", "1.0e-1999999999999999998"),
            ("-1", "1"),
            ("", "0"),
        ];
        for (expected, actual) in different {
            assert!(!output_right(&Checker::Lcb, expected, actual.as_bytes()), "{expected:?} {actual:?}");
            assert!(!output_right(&Checker::Lcb, actual, expected.as_bytes()), "{actual:?} {expected:?}");
        }
        assert!(!output_right(&Checker::Lcb, "\u{fffd}", b"\xff"));
    }

    #[test]
    fn acereason_rule_is_loose() {
        let rows = [
            ("1\n2\n", "1 \n 2", true),
            ("1000000", "1000001", true),
            ("1000000", "1000100", false),
            ("0.1 0.2", "0.1 0.2000001", true),
            ("a 1", "a 1.0", false),
            ("1", "1\n1", false),
            ("inf", "1", false),
        ];
        for (expected, actual, right) in rows {
            assert_eq!(acereason_right(expected, actual.as_bytes()), right, "{expected:?} {actual:?}");
        }
    }

    #[test]
    fn sandbox_fusion_rule_is_loose() {
        let rows = [
            ("YES\n1\n", " yes \n 1", true),
            ("1\n2", "1 2", false),
            ("1.0", "1.000001", true),
            ("1.0", "1.0001", false),
            ("0", "1e-16", true),
            ("1 2", "1.0 2.0", false),
            ("nan", "1", false),
            ("inf", "1e400", false),
            ("", "\n", true),
            ("1", "1\n\n2", false),
        ];
        for (expected, actual, right) in rows {
            assert_eq!(sandbox_fusion_right(expected, actual), right, "{expected:?} {actual:?}");
        }
    }

    #[test]
    fn an_exponent_is_never_expanded() {
        let huge = format!("1{}e-{}", "0".repeat(1 << 20), 1 << 20);
        assert!(output_right(&Checker::Lcb, "1", huge.as_bytes()));
    }

    #[test]
    fn other_rules() {
        let float = Checker::Float { absolute: 1e-6, relative: 1e-6 };
        let kattis = KattisFlags::default();
        let (exact_case, spaces) = (
            Checker::Kattis(KattisFlags { case_sensitive: true, ..kattis }),
            Checker::Kattis(KattisFlags { space_change_sensitive: true, ..kattis }),
        );
        let absolute = Checker::Kattis(KattisFlags { absolute: Some(0.1), ..kattis });
        let relative = Checker::Kattis(KattisFlags { relative: Some(0.1), ..kattis });
        let kattis = Checker::Kattis(kattis);
        let rows = [
            (kattis.clone(), "Yes 1\n", " yes\n\n1", true),
            (kattis.clone(), "1", "1.0", false),
            (kattis.clone(), "1", "1 2", false),
            (kattis, "1 2", "1", false),
            (exact_case.clone(), "Yes", "yes", false),
            (exact_case, "Yes", "Yes\n", true),
            (spaces.clone(), "a  b\n", "A  b\n", true),
            (spaces.clone(), "a b\n", "a  b\n", false),
            (spaces.clone(), "a b\n", "a b", false),
            (spaces, "", "\n", false),
            (absolute.clone(), "0.0314 Ok", "3.14e-2 ok", true),
            (absolute.clone(), "10", "10.09", true),
            (absolute.clone(), "10", "10.2", false),
            (absolute.clone(), "10", "ten", false),
            (absolute.clone(), "ten", "10", false),
            (relative.clone(), "10", "10.9", true),
            (relative.clone(), "0", "0.01", false),
            (relative.clone(), "inf", "1", false),
            (relative, "1", "nan", false),
            (Checker::Exact, "1\n", "1\n", true),
            (Checker::Exact, "1\n", "1", false),
            (Checker::Tokens, "a b\nc", " a\tb c \n", true),
            (Checker::Tokens, "a b", "ab", false),
            (Checker::Tokens, "1", "1.0", false),
            (Checker::CaseInsensitive, "Yes No", "YES\nno", true),
            (Checker::CaseInsensitive, "\u{c4}", "\u{e4}", true),
            (Checker::CaseInsensitive, "yes", "yes yes", false),
            (Checker::Unordered, "a b\nc\n", "c\n\na  b", true),
            (Checker::Unordered, "a\na\nb", "a\nb\nb", false),
            (Checker::Unordered, "a b", "b a", false),
            (float.clone(), "1000000 yes", "1000000.5 yes", true),
            (float.clone(), "0.5", "0.500002", false),
            (float.clone(), "nan", "nan", true),
            (float.clone(), "1", "inf", false),
            (float.clone(), "1 2", "1", false),
        ];
        for (checker, expected, actual, right) in rows {
            assert_eq!(output_right(&checker, expected, actual.as_bytes()), right, "{checker:?} {actual:?}");
        }
    }
}
