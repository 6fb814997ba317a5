//! Numerals: separators, decimals, the part that repeats, powers of ten, bases, signs for fractions.

use super::Parser;
use crate::math::ast::{Ast, Number};
use crate::math::budget::{Budget, Step, Stop};
use crate::math::lex;
use crate::math::lex::{Token, sign};
use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;

impl<'a> Parser<'a, '_> {
    pub(super) fn number(&mut self, text: &'a str) -> Step<Ast> {
        self.next();
        if let Some(value) = superscript_value::<i64>(text).filter(|_| !text.as_bytes()[0].is_ascii()) {
            return Ok(Ast::integer(value));
        }
        let plain = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
        if self.peek() == Some(Token::Sign('_')) && plain {
            return self.numeral(text);
        }
        let number = read_number(text, self.budget)?;
        if text.contains('.') { self.decimal(text, number) } else { Ok(Ast::Number(number)) }
    }

    /// Digits, perhaps letters among them, with their base as an index.
    pub(super) fn numeral(&mut self, digits: &str) -> Step<Ast> {
        let index = Stop::Unsupported("an index on a number");
        if !self.eat('_') {
            return Err(index);
        }
        let braced = self.eat('{');
        let Some(Token::Number(base) | Token::Text(base)) = self.next() else { return Err(index) };
        let base: u32 = base.trim().parse().map_err(|_| index)?;
        if braced {
            self.expect('}')?;
        }
        if !(2..=36).contains(&base) {
            return Err(Stop::Unsupported("a numeral base outside 2..36"));
        }
        Ok(Ast::Based(digits.to_ascii_uppercase(), base))
    }

    /// A decimal that goes on: dots behind it, or a number in brackets that may be what repeats.
    fn decimal(&mut self, text: &'a str, number: Number) -> Step<Ast> {
        if let [Some(Token::Sign('(')), Some(Token::Number(_)), Some(Token::Sign(')'))] =
            [self.peek(), self.peek_after(), self.tokens.get(self.at + 2).copied()]
        {
            return Err(Stop::Unsupported("a decimal before a number in brackets: a period or a product?"));
        }
        if !self.eat(sign::ELLIPSIS) {
            return Ok(Ast::Number(number));
        }
        let decimals = text.split_once('.').map_or("", |(_, decimals)| decimals);
        let plain = decimals.bytes().all(|c| c.is_ascii_digit());
        match lex::period(decimals).filter(|_| plain) {
            Some(period) => {
                let scale = UBig::from(10_u8).pow(decimals.len());
                let value = number.value + repeated(period, scale)?;
                Ok(Ast::Number(Number { value, places: number.places }))
            }
            // `0.\overline{3}\ldots` says the same twice.
            None if lex::repetend(decimals.trim_start_matches(|c: char| c.is_ascii_digit()), 0).is_some() => {
                Ok(Ast::Number(number))
            }
            None if self.approximate => Ok(Ast::Number(number)),
            None => Err(Stop::Unsupported("a decimal that is not written out")),
        }
    }
}

pub(super) fn vulgar_fraction(sign: char) -> Option<(i64, i64)> {
    Some(match sign {
        '\u{bd}' => (1, 2),
        '\u{2153}' => (1, 3),
        '\u{2154}' => (2, 3),
        '\u{bc}' => (1, 4),
        '\u{be}' => (3, 4),
        '\u{2155}' => (1, 5),
        '\u{2156}' => (2, 5),
        '\u{2157}' => (3, 5),
        '\u{2158}' => (4, 5),
        '\u{2159}' => (1, 6),
        '\u{215a}' => (5, 6),
        '\u{215b}' => (1, 8),
        '\u{215c}' => (3, 8),
        '\u{215d}' => (5, 8),
        '\u{215e}' => (7, 8),
        _ => return None,
    })
}

/// A small integer written in plain or superscript digits.
pub(super) fn superscript_value<T: TryFrom<i64>>(text: &str) -> Option<T> {
    let mut value = 0_i64;
    let mut negative = false;
    for c in text.chars() {
        let digit = match c {
            '\u{207b}' => {
                negative = true;
                continue;
            }
            '\u{b9}' => 1,
            '\u{b2}' => 2,
            '\u{b3}' => 3,
            '\u{2070}' | '\u{2074}'..='\u{2079}' => c as i64 - '\u{2070}' as i64,
            '0'..='9' => c as i64 - '0' as i64,
            _ => return None,
        };
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    T::try_from(if negative { -value } else { value }).ok()
}

/// The exact value of a numeral with separators, decimals, a repeating part or a power of ten.
pub(crate) fn read_number(text: &str, budget: &Budget) -> Step<Number> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) if at > 0 && text.as_bytes()[at - 1].is_ascii_digit() => (&text[..at], &text[at + 1..]),
        _ => (text, ""),
    };
    let (mantissa, period) = without_repetend(mantissa);
    if period.is_empty() && mantissa.len() <= 18 && exponent.is_empty() {
        return Ok(short_number(mantissa));
    }
    let mut digits = String::with_capacity(mantissa.len());
    let mut places = 0_u32;
    let mut fraction = false;
    for c in mantissa.chars() {
        match c {
            '0'..='9' => {
                digits.push(c);
                places += u32::from(fraction);
            }
            '.' => fraction = true,
            _ => {}
        }
    }
    let too_long = Stop::Limit("digits");
    let integer = |digits: &str| -> Step<UBig> {
        if digits.is_empty() {
            Ok(UBig::ZERO)
        } else {
            UBig::from_str_radix(digits, 10).map_err(|_| too_long.clone())
        }
    };
    let scale = UBig::from(10_u8).pow(places as usize);
    let mut value = RBig::from_parts(IBig::from(integer(&digits)?), scale.clone());
    if !period.is_empty() {
        value += repeated(&period, scale)?;
    }
    if !exponent.is_empty() {
        let power: i32 = exponent.parse().map_err(|_| Stop::Limit("power of ten"))?;
        if power.unsigned_abs() > budget.decimal_exponent {
            return Err(Stop::Limit("power of ten"));
        }
        let ten = RBig::from(UBig::from(10_u8).pow(power.unsigned_abs() as usize));
        value = if power >= 0 { value * ten } else { value / ten };
        places = 0;
    }
    Ok(Number { value, places })
}

/// A numeral before its repeating part, and the digits of that part.
fn without_repetend(text: &str) -> (&str, String) {
    let found = text.find('.').and_then(|point| {
        let places = text[point + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let end = point + 1 + places;
        lex::repetend(&text[end..], places).map(|(_, period)| (&text[..end], period))
    });
    found.unwrap_or((text, String::new()))
}

/// What a period adds that starts behind the decimal place 1/`scale`.
fn repeated(period: &str, scale: UBig) -> Step<RBig> {
    let digits = UBig::from_str_radix(period, 10).map_err(|_| Stop::Limit("digits"))?;
    let nines = UBig::from(10_u8).pow(period.len()) - UBig::ONE;
    Ok(RBig::from_parts(IBig::from(digits), nines * scale))
}

fn short_number(text: &str) -> Number {
    let mut value = 0_u64;
    let mut places = 0_u32;
    let mut fraction = false;
    for c in text.bytes() {
        match c {
            b'0'..=b'9' => {
                value = value * 10 + u64::from(c - b'0');
                places += u32::from(fraction);
            }
            b'.' => fraction = true,
            _ => {}
        }
    }
    let value = if places == 0 {
        RBig::from(value)
    } else {
        RBig::from_parts(value.into(), 10_u64.pow(places).into())
    };
    Number { value, places }
}
