//! The fast path: about two thirds of all golds are an integer, a decimal or a fraction of integers. They
//! are read straight from the bytes into a reduced i128 fraction. What is not plainly such a number is left
//! to the parser; proven: two reduced fractions with positive denominators are equal exactly when their
//! parts are.

/// A reduced fraction, denominator above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fraction {
    pub(crate) numerator: i128,
    pub(crate) denominator: i128,
}

/// Digits that always fit an i128 with room for one more multiplication by a sign.
const DIGITS: usize = 30;

/// Reads `[-]digits[.digits]`, `[-]\frac{digits}{digits}` (also `\dfrac`, `\tfrac`) and `[-]digits/digits`.
pub(crate) fn read(text: &str) -> Option<Fraction> {
    let bytes = text.trim_ascii().as_bytes();
    let (negative, rest) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    let (numerator, denominator) = match rest.first()? {
        b'0'..=b'9' => plain(rest)?,
        b'\\' => latex_fraction(rest)?,
        _ => return None,
    };
    if denominator == 0 {
        return None;
    }
    let common = gcd(numerator, denominator);
    let numerator = numerator / common;
    Some(Fraction {
        numerator: if negative { -numerator } else { numerator },
        denominator: denominator / common,
    })
}

fn plain(bytes: &[u8]) -> Option<(i128, i128)> {
    let (whole, rest) = integer(bytes)?;
    match rest {
        [] => Some((whole, 1)),
        [b'/', rest @ ..] => match integer(rest)? {
            (below, []) => Some((whole, below)),
            _ => None,
        },
        [b'.', rest @ ..] => {
            let places = rest.len();
            if places + (bytes.len() - rest.len()) > DIGITS {
                return None;
            }
            match integer(rest)? {
                (part, []) => {
                    let scale = 10_i128.pow(places as u32);
                    Some((whole * scale + part, scale))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn latex_fraction(bytes: &[u8]) -> Option<(i128, i128)> {
    let rest =
        [&b"\\frac{"[..], b"\\dfrac{", b"\\tfrac{"].iter().find_map(|head| bytes.strip_prefix(*head))?;
    let (above, rest) = integer(rest)?;
    let (below, rest) = integer(rest.strip_prefix(b"}{")?)?;
    if rest == b"}" { Some((above, below)) } else { None }
}

fn integer(bytes: &[u8]) -> Option<(i128, &[u8])> {
    let length = bytes.iter().take_while(|c| c.is_ascii_digit()).count();
    if length == 0 || length > DIGITS {
        return None;
    }
    let (digits, rest) = bytes.split_at(length);
    Some((digits.iter().fold(0, |value, c| value * 10 + i128::from(c - b'0')), rest))
}

/// Euclid on the absolute values; gcd(0, 0) is 1, so that it can always be divided by.
fn gcd(a: i128, b: i128) -> i128 {
    if let (Ok(a), Ok(b)) = (u64::try_from(a), u64::try_from(b)) {
        return i128::from(gcd_small(a, b)).max(1);
    }
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

fn gcd_small(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
