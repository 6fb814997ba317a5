//! Values of functional tests: the expected one as JSON text, the returned one as a frame from the box.
//!
//! The driver inside the box (`functional.py`) sends what the function returned in CPython's `marshal` format,
//! version 2: it is written at C speed and keeps apart what Python's `==` keeps apart (int, float, bool, str,
//! None, list, tuple, dict, set), integers and floats exact. The driver shares a process with the submission, so
//! a frame is nothing but hostile bytes: it is never unmarshalled into objects, only walked once beside the
//! expected value, stopping at the first difference. The walk allocates nothing that grows with the frame except
//! one integer or one dictionary's seen keys at a time, and nesting is capped on both sides.
//!
//! Equality is Python's, between the value and `json.loads(expected)`: `True == 1 == 1.0`, a top-level tuple
//! counts as a list, a nested one does not, sets, bytes and unknown objects equal nothing, `nan` is not `nan`.
//! Objects never bring their own `__eq__`: the driver reduces subclasses to the plain value underneath.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use dashu_int::ops::BitTest;
use dashu_int::{IBig, UBig};

use crate::compare::all_close;

/// Deepest nesting on either side; CPython's marshal itself stops at 2000.
const MAX_DEPTH: usize = 2000;

/// A value as Python's `json.loads` reads it. Strings are UTF-8 that may hold lone surrogates, as Python's do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Int(IBig),
    Float(f64),
    Str(Vec<u8>),
    List(Vec<Json>),
    /// Only in Python literals.
    Tuple(Vec<Json>),
    Dict(HashMap<Vec<u8>, Json>),
}

impl Json {
    /// Reads `text` as Python's `json.loads` does, `NaN`, `Infinity` and lone surrogates included.
    ///
    /// # Errors
    /// What was expected, at which byte.
    pub(crate) fn parse(text: &str) -> Result<Json, String> {
        Json::read(text, false)
    }

    /// Reads a Python literal as the loaders write it: JSON with tuples, and with `None`, `True` and `False`.
    ///
    /// # Errors
    /// What was expected, at which byte.
    pub(crate) fn literal(text: &str) -> Result<Json, String> {
        Json::read(text, true)
    }

    fn read(text: &str, python: bool) -> Result<Json, String> {
        let mut parser = Parser { text: text.as_bytes(), at: 0, python };
        parser.skip_space();
        let value = parser.value(0)?;
        parser.skip_space();
        if parser.at < parser.text.len() { parser.fail("the end of the value") } else { Ok(value) }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    python: bool,
}

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return self.fail("less nesting");
        }
        match self.peek() {
            Some(b'[') => self.items(b']', depth).map(Json::List),
            Some(b'(') if self.python => self.items(b')', depth).map(Json::Tuple),
            Some(b'{') => self.dict(depth),
            Some(b'"') => Ok(Json::Str(self.string()?)),
            Some(b'-' | b'0'..=b'9') if !self.text[self.at..].starts_with(b"-I") => self.number(),
            _ => self.word(),
        }
    }

    // Neither this nor what reads numbers and texts is inlined into `value`: their part of the stack would be taken once for each level of
    // nesting.
    #[inline(never)]
    fn word(&mut self) -> Result<Json, String> {
        type Words = &'static [(&'static str, Json)];
        const JSON: Words = &[
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Float(f64::NAN)),
            ("Infinity", Json::Float(f64::INFINITY)),
            ("-Infinity", Json::Float(f64::NEG_INFINITY)),
        ];
        const PYTHON: Words =
            &[("None", Json::Null), ("True", Json::Bool(true)), ("False", Json::Bool(false))];
        let words = if self.python { PYTHON } else { JSON };
        for (word, value) in words {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value.clone());
            }
        }
        self.fail("a JSON value")
    }

    /// Items up to the closing bracket; behind the last of a tuple a comma may stand.
    fn items(&mut self, close: u8, depth: usize) -> Result<Vec<Json>, String> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.take(close) {
            return Ok(items);
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(close) {
                return Ok(items);
            }
            if !self.take(b',') {
                return self.fail(if close == b']' { "`,` or `]`" } else { "`,` or `)`" });
            }
            self.skip_space();
            if close == b')' && self.take(close) {
                return Ok(items);
            }
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Json, String> {
        let mut entries = HashMap::new();
        self.at += 1;
        self.skip_space();
        if self.take(b'}') {
            return Ok(Json::Dict(entries));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return self.fail("a key in double quotes");
            }
            let key = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return self.fail("`:`");
            }
            self.skip_space();
            let value = self.value(depth + 1)?;
            entries.insert(key, value);
            self.skip_space();
            if self.take(b'}') {
                return Ok(Json::Dict(entries));
            }
            if !self.take(b',') {
                return self.fail("`,` or `}`");
            }
        }
    }

    #[inline(never)]
    fn number(&mut self) -> Result<Json, String> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') && self.digits() == 0 {
            return self.fail("a digit");
        }
        let mut end = self.at;
        let mut float = false;
        if self.take(b'.') && self.digits() > 0 {
            (end, float) = (self.at, true);
        }
        self.at = end;
        if self.take(b'e') || self.take(b'E') {
            let _signed = self.take(b'-') || self.take(b'+');
            if self.digits() > 0 {
                (end, float) = (self.at, true);
            }
        }
        self.at = end;
        let text = str::from_utf8(&self.text[start..end]).map_err(|e| e.to_string())?;
        if float {
            text.parse().map(Json::Float).map_err(|e| format!("{text}: {e}"))
        } else {
            text.parse().map(Json::Int).map_err(|e| format!("{text}: {e}"))
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    #[inline(never)]
    fn string(&mut self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(bytes);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut bytes)?;
                }
                Some(byte) if byte >= 0x20 => {
                    bytes.push(byte);
                    self.at += 1;
                }
                _ => return self.fail("the closing `\"` of a string without control characters"),
            }
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let plain = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode_escape(bytes),
            _ => return self.fail("an escape"),
        };
        bytes.push(plain);
        self.at += 1;
        Ok(())
    }

    /// `\uXXXX`, two of them where they make a surrogate pair; a lone surrogate stays one.
    fn unicode_escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let mut code = self.four_hex()?;
        if (0xd800..0xdc00).contains(&code) && self.text[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 1;
            let low = self.four_hex()?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            } else {
                self.at = before;
            }
        }
        push_code_point(bytes, code);
        Ok(())
    }

    /// Four hexadecimal digits after the `u` the parser stands on.
    fn four_hex(&mut self) -> Result<u32, String> {
        let digits = self.text.get(self.at + 1..self.at + 5).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let Some(code) = digits.and_then(|d| u32::from_str_radix(str::from_utf8(d).ok()?, 16).ok()) else {
            return self.fail("four hexadecimal digits after `\\u`");
        };
        self.at += 5;
        Ok(code)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    #[inline(never)]
    fn fail<T>(&self, expected: &str) -> Result<T, String> {
        Err(format!("expected {expected} at byte {}", self.at))
    }
}

/// UTF-8 that also encodes surrogates (Python's `surrogatepass`).
fn push_code_point(bytes: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => bytes.extend_from_slice(&[
            0xe0 | (code >> 12) as u8,
            0x80 | (code >> 6 & 0x3f) as u8,
            0x80 | (code & 0x3f) as u8,
        ]),
    }
}

/// What a frame from the driver says. Only data: whoever wrote it, the worst it can be is wrong.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer<'a> {
    /// The stage asked for is done.
    Done,
    /// The compiler refused the source, with this message.
    Refused(String),
    /// An exception of this class ended the call, with this text.
    Raised(String, String),
    /// The value could not be sent: cyclic, or nested too deeply.
    Unsendable(String),
    /// The function returned.
    Returned(Returned<'a>),
}

/// A returned value, still in its frame.
#[derive(Debug, PartialEq)]
pub(crate) struct Returned<'a> {
    frame: Reader<'a>,
}

/// The frame is not what the driver would have written.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed;

impl<'a> Answer<'a> {
    pub(crate) fn read(frame: &'a [u8]) -> Result<Answer<'a>, Malformed> {
        let mut reader = Reader { bytes: frame, marked: false, close: false, exact: false };
        if reader.byte()? != b'(' {
            return Err(Malformed);
        }
        let length = reader.length()?;
        let kind = reader.string()?;
        let answer = match (kind, length) {
            (b"done", 1) => Answer::Done,
            (b"refused", 2) => Answer::Refused(reader.text()?),
            (b"raised", 3) => Answer::Raised(reader.text()?, reader.text()?),
            (b"unsendable", 2) => Answer::Unsendable(reader.text()?),
            (b"plain", 2) => return Ok(Answer::Returned(Returned { frame: reader })),
            (b"marked", 2) => {
                return Ok(Answer::Returned(Returned { frame: Reader { marked: true, ..reader } }));
            }
            _ => return Err(Malformed),
        };
        if reader.bytes.is_empty() { Ok(answer) } else { Err(Malformed) }
    }
}

impl Returned<'_> {
    /// Python's `==` between this value and the expected one. Unless `exact`, a top-level tuple is taken as a list; with
    /// `close`, numbers need only be as near as numpy's `allclose` asks.
    pub(crate) fn equals(&self, expected: &Json, close: bool, exact: bool) -> Result<bool, Malformed> {
        let mut reader = Reader { close, exact, ..self.frame };
        let equal = reader.equals(expected, 0)?;
        if equal && !reader.bytes.is_empty() { Err(Malformed) } else { Ok(equal) }
    }

    /// The value as Python would print it, cut after about `limit` bytes.
    pub(crate) fn show(&self, limit: usize) -> String {
        let mut text = String::new();
        let mut reader = self.frame;
        if reader.show(&mut text, limit, 0).is_err() {
            text.push_str("...");
        }
        text
    }
}

/// A walk over marshal bytes, version 2. `marked`: bytes objects are the driver's marks for exact ratios
/// (`r<numerator>/<denominator>`, hexadecimal) and for objects that equal no JSON value (`o<repr>`).
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reader<'a> {
    bytes: &'a [u8],
    marked: bool,
    close: bool,
    exact: bool,
}

/// A number from a frame.
enum Number {
    Int(IBig),
    Float(f64),
    Ratio(IBig, IBig),
}

impl<'a> Reader<'a> {
    /// Whether the value at the reader equals `expected`. The reader stands behind the value only if it does.
    fn equals(&mut self, expected: &Json, depth: usize) -> Result<bool, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        let tag = self.byte()?;
        match expected {
            Json::Null => Ok(tag == b'N'),
            Json::Bool(_) | Json::Int(_) | Json::Float(_) => {
                let close = self.close;
                Ok(self.number(tag)?.is_some_and(|n| n.equals(expected) || close && n.close_to(expected)))
            }
            Json::Str(text) => Ok(tag == b'u' && self.sized()? == text.as_slice()),
            Json::List(items) => match tag {
                b'[' => self.items_equal(items, depth),
                b'(' if depth == 0 && !self.exact => self.items_equal(items, depth),
                _ => Ok(false),
            },
            Json::Tuple(items) if tag == b'(' => self.items_equal(items, depth),
            Json::Tuple(_) => Ok(false),
            Json::Dict(entries) => {
                if tag == b'{' {
                    self.entries_equal(entries, depth)
                } else {
                    Ok(false)
                }
            }
        }
    }

    fn items_equal(&mut self, items: &[Json], depth: usize) -> Result<bool, Malformed> {
        if self.length()? != items.len() {
            return Ok(false);
        }
        for item in items {
            if !self.equals(item, depth + 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Every entry equal and every key there. A forged frame may repeat a key, so keys are counted once.
    fn entries_equal(&mut self, entries: &HashMap<Vec<u8>, Json>, depth: usize) -> Result<bool, Malformed> {
        let mut seen: HashSet<&[u8]> = HashSet::new();
        loop {
            match self.byte()? {
                b'0' => return Ok(seen.len() == entries.len()),
                b'u' => {
                    let key = self.sized()?;
                    let Some(expected) = entries.get(key) else { return Ok(false) };
                    if !self.equals(expected, depth + 1)? {
                        return Ok(false);
                    }
                    seen.insert(key);
                }
                _ => return Ok(false),
            }
        }
    }

    /// The number after `tag`; `None` if it is no number.
    fn number(&mut self, tag: u8) -> Result<Option<Number>, Malformed> {
        Ok(Some(match tag {
            b'T' => Number::Int(IBig::ONE),
            b'F' => Number::Int(IBig::ZERO),
            b'i' => Number::Int(IBig::from(self.int32()?)),
            b'l' => Number::Int(self.long()?),
            b'g' => Number::Float(self.float()?),
            b'y' => match (self.float()?, self.float()?) {
                (real, 0.0) => Number::Float(real),
                _ => return Ok(None),
            },
            b's' if self.marked => match self.sized()?.split_first() {
                Some((b'r', ratio)) => parse_ratio(ratio)?,
                _ => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }

    /// An integer outside 32 bits: a count, negative for a negative number, of 15-bit digits, lowest first.
    fn long(&mut self) -> Result<IBig, Malformed> {
        let count = self.int32()?;
        let digits = self.take((count.unsigned_abs() as usize).checked_mul(2).ok_or(Malformed)?)?;
        let mut bytes = Vec::with_capacity(digits.len());
        let (mut buffer, mut bits) = (0u32, 0);
        for pair in digits.chunks_exact(2) {
            buffer |= u32::from(u16::from_le_bytes([pair[0], pair[1]]) & 0x7fff) << bits;
            bits += 15;
            while bits >= 8 {
                bytes.push(buffer as u8);
                buffer >>= 8;
                bits -= 8;
            }
        }
        bytes.push(buffer as u8);
        let magnitude = IBig::from(UBig::from_le_bytes(&bytes));
        Ok(if count < 0 { -magnitude } else { magnitude })
    }

    fn show(&mut self, out: &mut String, limit: usize, depth: usize) -> Result<(), Malformed> {
        if out.len() > limit || depth > MAX_DEPTH {
            return Err(Malformed);
        }
        match self.byte()? {
            b'N' => out.push_str("None"),
            b'T' => out.push_str("True"),
            b'F' => out.push_str("False"),
            b'.' => out.push_str("Ellipsis"),
            b'i' => write_to(out, self.int32()?),
            // Decimal text of a huge integer takes long to make and nobody reads it.
            b'l' => match self.long()? {
                number if number.bit_len() <= 4096 => write_to(out, number),
                number => write_to(out, format_args!("<integer of {} bits>", number.bit_len())),
            },
            b'g' => write_to(out, format_args!("{:?}", self.float()?)),
            b'y' => write_to(out, format_args!("complex({:?}, {:?})", self.float()?, self.float()?)),
            b's' if self.marked => out.push_str(&lossy(self.sized()?.get(1..).unwrap_or_default(), limit)),
            b's' => write_to(out, format_args!("b{:?}", lossy(self.sized()?, limit))),
            b'u' => write_to(out, format_args!("{:?}", lossy(self.sized()?, limit))),
            b'[' => self.show_items(out, limit, depth, '[', ']')?,
            b'(' => self.show_items(out, limit, depth, '(', ')')?,
            b'<' | b'>' => self.show_items(out, limit, depth, '{', '}')?,
            b'{' => self.show_entries(out, limit, depth)?,
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn show_items(
        &mut self,
        out: &mut String,
        limit: usize,
        depth: usize,
        open: char,
        close: char,
    ) -> Result<(), Malformed> {
        out.push(open);
        for index in 0..self.length()? {
            if index > 0 {
                out.push_str(", ");
            }
            self.show(out, limit, depth + 1)?;
        }
        out.push(close);
        Ok(())
    }

    fn show_entries(&mut self, out: &mut String, limit: usize, depth: usize) -> Result<(), Malformed> {
        out.push('{');
        let mut first = true;
        while self.bytes.first() != Some(&b'0') {
            if !std::mem::take(&mut first) {
                out.push_str(", ");
            }
            self.show(out, limit, depth + 1)?;
            out.push_str(": ");
            self.show(out, limit, depth + 1)?;
        }
        self.byte()?;
        out.push('}');
        Ok(())
    }

    fn text(&mut self) -> Result<String, Malformed> {
        Ok(lossy(self.string()?, usize::MAX))
    }

    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        if self.byte()? == b'u' { self.sized() } else { Err(Malformed) }
    }

    fn sized(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.length()?;
        self.take(length)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.int32()?).map_err(|_| Malformed)
    }

    fn int32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    fn float(&mut self) -> Result<f64, Malformed> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or(Malformed)?;
        self.bytes = tail;
        Ok(head)
    }
}

impl Number {
    /// Exact comparison, as Python's between numbers of different types.
    fn equals(&self, expected: &Json) -> bool {
        let expected = match expected {
            Json::Bool(value) => Number::Int(IBig::from(u8::from(*value))),
            Json::Int(value) => Number::Int(value.clone()),
            Json::Float(value) => Number::Float(*value),
            _ => return false,
        };
        match (self, &expected) {
            (Number::Int(a), Number::Int(b)) => a == b,
            (Number::Float(a), Number::Float(b)) => a == b,
            (a, b) => match (a.ratio(), b.ratio()) {
                (Some((an, ad)), Some((bn, bd))) => an * bd == bn * ad,
                _ => false,
            },
        }
    }

    /// As near as numpy's `allclose` asks.
    fn close_to(&self, expected: &Json) -> bool {
        let expected = match expected {
            Json::Int(value) => value.to_f64().value(),
            Json::Float(value) => *value,
            _ => return false,
        };
        let actual = match self {
            Number::Int(value) => value.to_f64().value(),
            Number::Float(value) => *value,
            Number::Ratio(numerator, denominator) => {
                numerator.to_f64().value() / denominator.to_f64().value()
            }
        };
        all_close(expected, actual)
    }

    /// As numerator and positive denominator; `None` if infinite or not a number.
    fn ratio(&self) -> Option<(IBig, IBig)> {
        match self {
            Number::Int(value) => Some((value.clone(), IBig::ONE)),
            Number::Ratio(numerator, denominator) => Some((numerator.clone(), denominator.clone())),
            Number::Float(value) if value.is_finite() => Some(float_ratio(*value)),
            Number::Float(_) => None,
        }
    }
}

/// A finite float as mantissa and power of two.
fn float_ratio(value: f64) -> (IBig, IBig) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) = match (bits >> 52 & 0x7ff) as i32 {
        0 => (fraction, -1074),
        biased => (fraction | 1 << 52, biased - 1075),
    };
    let mantissa = if value.is_sign_negative() { -IBig::from(mantissa) } else { IBig::from(mantissa) };
    if exponent >= 0 {
        (mantissa << exponent as usize, IBig::ONE)
    } else {
        (mantissa, IBig::ONE << exponent.unsigned_abs() as usize)
    }
}

fn parse_ratio(text: &[u8]) -> Result<Number, Malformed> {
    let text = str::from_utf8(text).map_err(|_| Malformed)?;
    let (numerator, denominator) = text.split_once('/').ok_or(Malformed)?;
    let read = |digits| IBig::from_str_radix(digits, 16).map_err(|_| Malformed);
    let (numerator, denominator) = (read(numerator)?, read(denominator)?);
    if denominator <= IBig::ZERO {
        return Err(Malformed);
    }
    Ok(Number::Ratio(numerator, denominator))
}

fn lossy(bytes: &[u8], limit: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]).into_owned()
}

fn write_to(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// Runs the real driver, outside any sandbox: only sources written in these tests may go through it.
    fn drive(source: &str, function: &str, inputs: &[&str]) -> Vec<Vec<u8>> {
        let driver = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(driver.path(), include_str!("functional.py")).expect("write the driver");
        let load = serde_json::json!({ "source": source, "blocks": [], "function": function, "literals": false, "prelude": "from typing import *" });
        let mut sent = Vec::new();
        for frame in [load.to_string().as_str(), ""].iter().chain(inputs) {
            sent.extend_from_slice(&(8 + frame.len() as u32).to_le_bytes());
            sent.extend_from_slice(b"question");
            sent.extend_from_slice(frame.as_bytes());
        }
        // The value channel is fd 3; the shell gives it our pipe and takes stdout away.
        let mut child = Command::new("sh")
            .args(["-c", "exec python3 -I -S \"$0\" 3>&1 1>/dev/null"])
            .arg(driver.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh and python3 are installed");
        child.stdin.take().expect("piped").write_all(&sent).expect("the driver reads its frames");
        let output = child.wait_with_output().expect("the driver ends");
        let mut frames = Vec::new();
        let mut rest = output.stdout.as_slice();
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let (frame, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
            frames.push(frame.strip_prefix(b"question").expect("its own question").to_vec());
            rest = tail;
        }
        frames
    }

    #[test]
    fn literals_keep_their_tuples() {
        let one = || Json::Int(IBig::ONE);
        let rows = [
            ("(1,)", Some(Json::Tuple(vec![one()]))),
            ("(1,[1])", Some(Json::Tuple(vec![one(), Json::List(vec![one()])]))),
            ("()", Some(Json::Tuple(vec![]))),
            ("[None,True]", Some(Json::List(vec![Json::Null, Json::Bool(true)]))),
            ("null", None),
            ("(1", None),
            ("[1,]", None),
        ];
        for (text, expected) in rows {
            assert_eq!(Json::literal(text).ok(), expected, "{text}");
        }
        assert!(Json::parse("(1,)").is_err() && Json::parse("None").is_err());
        assert!(Json::literal(&"(".repeat(100_000)).is_err());
    }

    /// What lcb_runner's `==` says of each value, through the real driver.
    #[test]
    fn equality_is_pythons() {
        let rows = [
            ("3.0", "3", true),
            ("True", "1", true),
            ("1", "true", true),
            ("False", "0.0", true),
            ("None", "null", true),
            ("None", "0", false),
            ("'3'", "3", false),
            ("3", "\"3\"", false),
            ("0.1 + 0.2", "0.3", false),
            ("0.30000000000000004", "0.30000000000000004", true),
            ("-0.0", "0", true),
            ("float('inf')", "Infinity", true),
            ("float('inf')", "1e400", true),
            ("float('nan')", "NaN", false),
            ("2**53 + 1", "9007199254740993", true),
            ("float(2**53)", "9007199254740993", false),
            ("1e23", "100000000000000000000000", false),
            ("1e23", "99999999999999991611392", true),
            ("10**5000", "1e400", false),
            ("-2**100", "-1267650600228229401496703205376", true),
            ("5e-324", "5e-324", true),
            ("(1, 2)", "[1, 2]", true),
            ("[(1, 2)]", "[[1, 2]]", false),
            ("((1, 2),)", "[[1, 2]]", false),
            ("[1, 2]", "[1, 2, 3]", false),
            ("[]", "[]", true),
            ("()", "[]", true),
            ("[]", "{}", false),
            ("[[1], ['a', None]]", "[[1.0], [\"a\", null]]", true),
            ("{1, 2}", "[1, 2]", false),
            ("range(2)", "[0, 1]", false),
            ("__import__('collections').deque([1])", "[1]", false),
            ("{'a': 1}.keys()", "[\"a\"]", false),
            ("(x for x in [1])", "[1]", false),
            ("{'a': 1, 'b': [2]}", "{\"b\": [2], \"a\": 1}", true),
            ("{'a': 1}", "{\"a\": 1, \"b\": 2}", false),
            ("{'a': 1, 'b': 2}", "{\"a\": 1}", false),
            ("{1: 2}", "{\"1\": 2}", false),
            ("__import__('collections').Counter('aab')", "{\"a\": 2, \"b\": 1}", true),
            ("__import__('collections').OrderedDict(a=1)", "{\"a\": 1}", true),
            ("__import__('collections').namedtuple('P', 'x y')(1, 2)", "[1, 2]", true),
            ("__import__('enum').IntEnum('E', 'A').A", "1", true),
            ("[__import__('enum').IntEnum('E', 'A').A]", "[1]", true),
            ("__import__('decimal').Decimal('0.5')", "0.5", true),
            ("__import__('decimal').Decimal('1e999999999')", "1", false),
            ("__import__('decimal').Decimal('inf')", "Infinity", true),
            ("__import__('fractions').Fraction(6, 3)", "2", true),
            ("[__import__('fractions').Fraction(-1, 3)]", "[-0.3333333333333333]", false),
            ("complex(3, 0)", "3", true),
            ("3j", "3", false),
            ("type('L', (list,), {'__eq__': lambda s, o: True})([1])", "[2]", false),
            ("type('L', (list,), {})([1])", "[1]", true),
            ("type('S', (str,), {})('a')", "\"a\"", true),
            ("type('X', (), {'__eq__': lambda s, o: True})()", "1", false),
            ("b'1'", "\"1\"", false),
            ("b'r1/2'", "0.5", false),
            ("[b'r1/2', {1}.__iter__()]", "[0.5, 1]", false),
            ("'\\u00e9\\ud83d\\ude00'", "\"\\u00e9\\ud83d\\ude00\"", false),
            ("'\\u00e9\\U0001f600'", "\"\\u00e9\\ud83d\\ude00\"", true),
            ("'\\ud800'", "\"\\ud800\"", true),
            ("float", "1", false),
            ("...", "null", false),
        ];
        let values: Vec<&str> = rows.iter().map(|(value, ..)| *value).collect();
        let source = format!("class Solution:\n def f(self, i):\n  return [{}][i]\n", values.join(", "));
        let inputs: Vec<String> = (0..rows.len()).map(|index| index.to_string()).collect();
        let frames = drive(&source, "f", &inputs.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(frames.len(), rows.len() + 2);
        for ((value, expected, equal), frame) in rows.iter().zip(&frames[2..]) {
            let expected = Json::parse(expected).expect("JSON");
            let Ok(Answer::Returned(returned)) = Answer::read(frame) else { panic!("{value}: {frame:?}") };
            assert_eq!(returned.equals(&expected, false, false), Ok(*equal), "{value} == {expected:?}");
            assert!(!returned.show(100).is_empty());
        }
    }

    #[test]
    fn the_driver_says_what_happened() {
        let last = |source: &str| {
            let frames = drive(source, "f", &["1\n[2]"]);
            let frame = frames.last().expect("a frame").clone();
            (frames.len(), format!("{:?}", Answer::read(&frame)))
        };
        let rows = [
            ("def f(a, b): return 1 +", 1, "Refused"),
            ("x = '\\0'\0", 1, "Refused"),
            ("1/0\ndef f(a, b): pass", 2, "ZeroDivisionError"),
            ("def g(): pass", 2, "AttributeError"),
            ("# class Solution\ndef f(a, b): pass", 2, "AttributeError"),
            ("def f(a, b): return b[a]", 3, "IndexError"),
            ("def f(a): pass", 3, "TypeError"),
            ("def f(a, b):\n a = []\n a.append(a)\n return a", 3, "Unsendable"),
            ("def f(a, b):\n for i in range(3000): b = [b]\n return b", 3, "Unsendable"),
            ("def f(a, b): raise type('E', (Exception,), {'__str__': lambda s: 1/0})()", 3, "Raised(\"E\""),
            ("def f(a, b): return input()", 3, "EOFError"),
            ("def f(a, b): print('x' * 10**5); return List", 3, "Returned"),
            ("from __future__ import annotations\ndef f(a: X, b): return __name__", 3, "Returned"),
            // Whoever ends the process ends it without a value.
            ("import sys\ndef f(a, b): sys.exit(0)", 2, "Done"),
            ("import os\ndef f(a, b): os._exit(0)", 2, "Done"),
            ("raise SystemExit", 1, "Done"),
        ];
        for (source, frames, answer) in rows {
            let (count, said) = last(source);
            assert_eq!(count, frames, "{source:?}: {said}");
            assert!(said.contains(answer), "{source:?}: {said}");
        }
    }

    /// No frame, however forged, panics, and what is not the driver's form is malformed.
    #[test]
    fn forged_frames_are_data() {
        let value = |bytes: &[u8]| [b"(\x02\0\0\0u\x05\0\0\0plain", bytes].concat();
        let expected = Json::parse("{\"a\": 1, \"b\": 2}").expect("JSON");
        let equals = |frame: &[u8]| match Answer::read(frame) {
            Ok(Answer::Returned(returned)) => returned.equals(&expected, false, false),
            _ => Err(Malformed),
        };
        let entry = |key: u8, number: u8| [b"u\x01\0\0\0", &[key][..], b"i", &[number, 0, 0, 0]].concat();
        let dict = |entries: &[Vec<u8>]| value(&[b"{", &entries.concat()[..], b"0"].concat());
        assert_eq!(equals(&dict(&[entry(b'a', 1), entry(b'b', 2)])), Ok(true));
        assert_eq!(equals(&dict(&[entry(b'a', 1), entry(b'a', 1)])), Ok(false));
        assert_eq!(equals(&[dict(&[entry(b'a', 1), entry(b'b', 2)]), vec![0]].concat()), Err(Malformed));
        for frame in
            [&b""[..], b"(", b"(\x01\0\0\0u\x04\0\0\0done!", b"[\x01\0\0\0", b"(\x02\0\0\0u\xff\xff\xff\xff"]
        {
            assert_eq!(Answer::read(frame), Err(Malformed), "{frame:?}");
        }
        let deep = value(&b"[\x01\0\0\0".repeat(100_000));
        let mut nested = Json::Null;
        for _ in 0..1000 {
            nested = Json::List(vec![nested]);
        }
        let Ok(Answer::Returned(returned)) = Answer::read(&deep) else { panic!("a value") };
        assert_eq!(returned.equals(&nested, false, false), Ok(false));
        assert!(returned.show(300).len() < 1000);
    }

    #[test]
    fn json_is_read_as_python_reads_it() {
        let wrong = [
            "",
            "01",
            "1.",
            ".5",
            "+1",
            "[1,]",
            "{\"a\":1,}",
            "{1:2}",
            "'a'",
            "\"\n\"",
            "nan",
            "1 2",
            "\"\\x\"",
        ];
        for text in wrong {
            assert!(Json::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(
            Json::parse(" [1, -0, 1e2, \"\\/\"] "),
            Ok(Json::List(vec![
                Json::Int(1.into()),
                Json::Int(0.into()),
                Json::Float(100.0),
                Json::Str(b"/".to_vec()),
            ]))
        );
        assert_eq!(
            Json::parse("{\"a\": 1, \"a\": 2}"),
            Ok(Json::Dict([(b"a".to_vec(), Json::Int(2.into()))].into()))
        );
        assert!(Json::parse(&"[".repeat(1 << 20)).is_err());
    }
}
