//! Words: answers that are nothing else, times and dates, labels inside a list.

use super::Parser;
use super::wrap::closes_at_end;
use crate::math::ast::Ast;
use crate::math::budget::{Step, Stop};
use crate::math::lex;
use crate::math::lex::Token;

/// An answer that is nothing but words: `Friday`, `\text{(B)}`, `\textbf{No solution}`.
pub(super) fn words_only(text: &str) -> Option<Ast> {
    let first = *text.as_bytes().first()?;
    if !(first == b'\\' || first == b'(' || first.is_ascii_alphabetic()) {
        return None;
    }
    let mut inner = text;
    let mut styled = false;
    for head in [
        "\\text{",
        "\\textbf{",
        "\\mbox{",
        "\\mathrm{",
        "\\textit{",
        "\\mathbf{",
        "\\operatorname{",
        "\\textrm{",
    ] {
        if let Some(rest) = inner.strip_prefix(head)
            && closes_at_end(rest)
        {
            inner = rest[..rest.len() - 1].trim_matches([' ', '~']);
            styled = true;
            break;
        }
    }
    let letter = |text: &str| text.len() == 1 && text.as_bytes()[0].is_ascii_alphabetic();
    let bare = inner.trim_start_matches('(').trim_end_matches(')');
    if letter(bare)
        && (styled || inner.starts_with('(') && inner.ends_with(')'))
        && bare.as_bytes()[0].is_ascii_uppercase()
    {
        return Some(Ast::Text(bare.to_owned()));
    }
    if styled {
        let plain = inner
            .chars()
            .all(|c| c.is_alphabetic() || matches!(c, ' ' | ',' | '-' | '\'' | '.' | '(' | ')' | '&'))
            && hyphens_join_words(inner);
        let has_letter = inner.chars().any(char::is_alphabetic);
        return (plain && has_letter && !lex::is_function(inner) && !letter(inner))
            .then(|| Ast::Text(inner.to_owned()));
    }
    let (mut words, mut meant_as_words) = (0, false);
    for word in text.split([' ', '-']).filter(|word| !word.is_empty()) {
        if !word.chars().all(|c| c.is_ascii_alphabetic() || c == '\'') || lex::is_function(word) {
            return None;
        }
        words += 1;
        // `xy z` is a product, `all of it` is not.
        let lower = word.len() > 1 && !word.bytes().any(|c| c.is_ascii_uppercase());
        meant_as_words |= (word.len() > 3 && !is_constant_name(word))
            || is_short_word(word)
            || (words > 1 && lower && !is_letters(word) && !is_constant_name(word) && word != "pi");
    }
    let joined = text.split(' ').any(|word| matches!(word, "or" | "and"));
    (meant_as_words && hyphens_join_words(text) && !(joined && words <= 3))
        .then(|| Ast::Text(text.to_owned()))
}

/// `one-to-one` is a word, `p - q` and `a-b` are differences.
fn hyphens_join_words(text: &str) -> bool {
    let pieces = text.split([' ', ',', '(', ')', '.']);
    pieces.filter(|piece| piece.contains('-')).all(|piece| {
        let long = |part: &str| part.len() > 1 && part.bytes().all(|c| c.is_ascii_lowercase() || c == b'\'');
        piece.split('-').enumerate().all(|(at, part)| long(part) || (at == 0 && long(&part.to_lowercase())))
            && piece.split('-').any(|part| part.len() > 2)
    })
}

/// Two or three letters that nobody writes as a word or a unit: `xy`, `abc`, `mn`.
pub(super) fn is_letters(word: &str) -> bool {
    let letters = match word.len() {
        2 => word.bytes().all(|c| b"abcmnpqrstuvwxyzk".contains(&c)),
        3 => word == "abc" || word.bytes().all(|c| b"bcmnpqrstvwxyzk".contains(&c)),
        _ => false,
    };
    letters
        && !matches!(
            word,
            "am" | "pm" | "an" | "as" | "at" | "by" | "my" | "us" | "vs" | "pt" | "qt" | "mm" | "cm" | "ms"
        )
}

pub(super) fn is_constant_name(word: &str) -> bool {
    matches!(
        word,
        "infinity" | "infty" | "alpha" | "beta" | "gamma" | "delta" | "theta" | "lambda" | "omega" | "sigma"
    )
}

/// `1:03 PM`, `June 20`: words with a number in them that are one answer.
pub(super) fn time_or_date(text: &str) -> Option<Ast> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    if text.len() > 40
        || !(text.as_bytes()[0].is_ascii_digit()
            || text.starts_with("\\text{")
            || text.as_bytes()[0].is_ascii_uppercase())
    {
        return None;
    }
    let mut plain = text.to_ascii_lowercase();
    for mark in ["\\!", "\\text{", "\\mbox{", "\\mathrm{", "\\,", "$", "}", ".", "~"] {
        plain = plain.replace(mark, "");
    }
    let squeezed: String = plain.chars().filter(|c| !c.is_whitespace()).collect();
    let day_half = squeezed.strip_suffix("am").or(squeezed.strip_suffix("pm"));
    let is_time = day_half.is_some_and(|clock| {
        let mut parts = clock.split(':');
        let digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
        parts.next().is_some_and(|hours| (1..=2).contains(&hours.len()) && digits(hours))
            && parts.clone().count() <= 2
            && parts.all(|part| part.len() == 2 && digits(part))
    });
    let plain = plain.replace(',', " ");
    let mut words = plain.split_whitespace();
    let (month, day, year, rest) = (words.next()?, words.next(), words.next(), words.next());
    let is_date =
        MONTHS.iter().any(|name| month.starts_with(name) && month.bytes().all(|c| c.is_ascii_lowercase()))
            && day.is_some_and(|day| day.len() <= 2 && day.bytes().all(|c| c.is_ascii_digit()))
            && year.is_none_or(|year| year.len() == 4 && year.bytes().all(|c| c.is_ascii_digit()))
            && rest.is_none();
    if is_time {
        Some(Ast::Text(squeezed))
    } else if is_date {
        Some(Ast::Text(plain.trim().to_owned()))
    } else {
        None
    }
}

/// Words of up to three letters that are not products of variables.
pub(super) fn is_short_word(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    matches!(
        lower.as_str(),
        "yes"
            | "no"
            | "odd"
            | "one"
            | "two"
            | "six"
            | "ten"
            | "all"
            | "any"
            | "sat"
            | "sun"
            | "mon"
            | "tue"
            | "wed"
            | "thu"
            | "fri"
            | "red"
            | "dne"
            | "aas"
            | "asa"
            | "sas"
            | "sss"
            | "may"
            | "jan"
            | "feb"
            | "mar"
            | "apr"
            | "jun"
            | "jul"
            | "aug"
            | "sep"
            | "oct"
            | "nov"
            | "dec"
            | "tie"
            | "win"
            | "ann"
            | "bob"
            | "kim"
            | "nan"
            | "inf"
    )
}

impl<'a> Parser<'a, '_> {
    /// Words in the place of a value: a label such as `\text{E}` or `\text{even}`, alone in its item.
    pub(super) fn text(&mut self, text: &'a str) -> Step<Ast> {
        self.at += 1;
        let bare = text.trim_matches([' ', '~']);
        if self.peek() == Some(Token::Sign('_')) && bare.bytes().all(|c| c.is_ascii_alphanumeric()) {
            return self.numeral(bare);
        }
        let mut letters = bare.chars();
        if let (Some(letter), None) = (letters.next(), letters.next()) {
            return self.letter(letter);
        }
        let ends = match self.peek() {
            None => true,
            Some(Token::Sign(sign)) => matches!(sign, ',' | ';' | ')' | '}' | ']' | '=' | '.'),
            Some(Token::SetClose) => true,
            _ => false,
        };
        let plain = bare.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '(' | ')'));
        if ends && plain && !matches!(bare, "" | "or" | "and" | "not") {
            Ok(Ast::Text(bare.to_owned()))
        } else {
            Err(Stop::Unsupported("words around the value"))
        }
    }
}
