//! What only wraps an answer: dollars, boxes, stars, a full stop, list literals, headings.

use crate::math::lex;
use std::borrow::Cow;

/// Strips what only wraps an answer: spaces, a final full stop, `$..$`, `\(..\)`, `\[..\]`, `\boxed{..}`,
/// `**..**`.
pub(crate) fn unwrap(text: &str) -> &str {
    let mut text = text.trim();
    for _ in 0..6 {
        let before = text;
        if text.ends_with('.') && !text.ends_with("..") && !text.ends_with("right.") {
            text = text[..text.len() - 1].trim_end();
        }
        for (open, close) in [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**")] {
            if text.len() >= open.len() + close.len()
                && let Some(inner) = text.strip_prefix(open).and_then(|t| t.strip_suffix(close))
                && !inner.contains(open)
                && !inner.ends_with('\\')
            {
                text = inner.trim();
            }
        }
        for head in ["\\boxed{", "\\fbox{"] {
            if let Some(inner) = text.strip_prefix(head)
                && closes_at_end(inner)
            {
                text = inner[..inner.len() - 1].trim();
            }
        }
        if text == before {
            break;
        }
    }
    text
}

/// The accepted spellings of a gold: the strings of a list literal (`['..', ".."]`, as some files keep answers), or
/// the text itself.
pub(crate) fn spellings(text: &str, most: usize) -> Vec<Cow<'_, str>> {
    literal(text.trim(), most).unwrap_or_else(|| vec![Cow::Borrowed(text)])
}

fn literal(text: &str, most: usize) -> Option<Vec<Cow<'_, str>>> {
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut found = Vec::new();
    while found.len() < most {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let mut string = String::new();
        let mut signs = rest[1..].char_indices();
        let end = loop {
            match signs.next()? {
                (at, c) if c == quote => break at,
                (_, '\\') => match signs.next()?.1 {
                    'n' | 't' => string.push(' '),
                    c @ ('\\' | '\'' | '"') => string.push(c),
                    other => string.extend(['\\', other]),
                },
                (_, c) => string.push(c),
            }
        };
        found.push(Cow::Owned(string));
        rest = rest[end + 2..].trim_start();
        if rest.is_empty() {
            return Some(found);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
    None
}

/// A gold without the heading some books put before answers: `Solution is: 5`.
pub(crate) fn without_heading(text: &str) -> &str {
    for heading in ["The solution is", "Solution is", "Answer", "The answer is"] {
        if let Some(rest) = text
            .get(..heading.len())
            .filter(|head| head.eq_ignore_ascii_case(heading))
            .map(|head| text[head.len()..].trim_start())
            && let Some(answer) = rest.strip_prefix(':').or(rest.strip_prefix('$').map(|_| rest))
        {
            return answer.trim();
        }
    }
    text
}

/// Whether the brace that closes what was opened before is the last character.
pub(super) fn closes_at_end(inner: &str) -> bool {
    lex::balanced(inner).is_some_and(|end| end + 1 == inner.len())
}

/// `$x=1$ or $x=2$`: an even number of unescaped dollars delimits formulas, an odd one means money.
pub(super) fn without_math_dollars(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_delimiter = |at: usize| bytes[at] == b'$' && (at == 0 || bytes[at - 1] != b'\\');
    let count = (0..bytes.len()).filter(|&at| is_delimiter(at)).count();
    if count % 2 == 1 {
        return text.to_owned();
    }
    text.char_indices().map(|(at, c)| if c == '$' && is_delimiter(at) { ' ' } else { c }).collect()
}
