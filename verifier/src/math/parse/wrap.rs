//! What only wraps an answer: dollars, boxes, stars, a full stop.

use crate::math::lex;

/// Strips what only wraps an answer: spaces, a final full stop, `$..$`, `\(..\)`, `\[..\]`, `\boxed{..}`,
/// `**..**`, and the list literal `['..']` some files keep answers in.
pub(crate) fn unwrap(text: &str) -> &str {
    let mut text = text.trim();
    for _ in 0..6 {
        let before = text;
        if let Some(inner) = text.strip_prefix("['").and_then(|t| t.strip_suffix("']"))
            && !inner.contains("', '")
        {
            text = inner.trim_end_matches("\\n").trim();
        }
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
