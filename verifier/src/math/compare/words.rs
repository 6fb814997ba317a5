//! Words: equal as whole words, case and spacing aside; a list of single letters has no order.

use super::{Found, SAME};
use crate::math::ast::{Ast, Function};

pub(super) fn text(words: &str, answer: &Ast) -> Found {
    match words_of(answer) {
        Some(other) => compare_words(&normal_words(words), &other),
        None => Found::Different("not the words that were expected"),
    }
}

pub(super) fn compare_words(gold: &str, answer: &str) -> Found {
    if gold == answer {
        return SAME;
    }
    // Lists of letters (which of the following ..) have no order.
    let is_list = |words: &str| words.contains(',') || words.split(' ').any(|word| word == "and");
    let letters = |words: &str| {
        if !is_list(words) {
            return None;
        }
        let mut letters: Vec<String> = words
            .split([',', ' '])
            .filter(|word| !word.is_empty() && *word != "and")
            .map(str::to_owned)
            .collect();
        letters.sort();
        letters.iter().all(|letter| letter.chars().count() == 1).then_some(letters)
    };
    match (letters(gold), letters(answer)) {
        (Some(a), Some(b)) if a == b => SAME,
        _ => Found::Different("other words"),
    }
}

/// Lower case, single spaces, no brackets around, no full stop.
pub(super) fn normal_words(words: &str) -> String {
    let mut normal = String::with_capacity(words.len());
    for word in
        words.split(|c: char| c.is_whitespace() || matches!(c, '~' | '-')).filter(|word| !word.is_empty())
    {
        if !normal.is_empty() && !normal.ends_with(',') {
            normal.push(' ');
        }
        normal.extend(word.chars().filter(|c| !matches!(c, '(' | ')' | '.')).flat_map(char::to_lowercase));
    }
    normal
}

/// What could have been meant as words: text, one letter, a short product of letters, a list of these.
pub(super) fn words_of(ast: &Ast) -> Option<String> {
    match ast {
        Ast::Text(words) => Some(normal_words(words)),
        Ast::Symbol(name) => Some(name.to_lowercase()),
        Ast::Euler => Some("e".to_owned()),
        Ast::Imaginary => Some("i".to_owned()),
        Ast::Call(Function::Named(_), _) => None,
        Ast::Product(factors) => factors.iter().map(words_of).collect(),
        Ast::List(items, _) | Ast::Tuple(items) => {
            let words: Option<Vec<String>> = items.iter().map(words_of).collect();
            words.map(|words| words.join(","))
        }
        _ => None,
    }
}
