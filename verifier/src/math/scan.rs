//! Where the answer stands in a completion. One pass over the bytes, no backtracking: a megabyte of
//! `\boxed{` costs the same as a megabyte of prose.
//!
//! Thinking is not answering: only the text after the last `</think>` counts, and a `<think>` that is never
//! closed leaves nothing to grade. Of several boxes the last complete one counts, the outer one where they
//! are nested.

use super::Extraction;

/// Finds the answer: the last box, and where `fallbacks` is set also the less certain places, in this order:
/// the text after "answer is", the last `$...$`, the last number.
pub(crate) fn find_answer(completion: &str, fallbacks: bool) -> Option<(&str, Extraction)> {
    let text = after_thinking(completion)?;
    if let Some(boxed) = last_boxed(text) {
        return Some((boxed, Extraction::Boxed));
    }
    if !fallbacks {
        return None;
    }
    if is_formula(text) {
        return Some((text.trim(), Extraction::LastFormula));
    }
    anchored(text)
        .map(|found| (found, Extraction::Anchor))
        .or_else(|| last_formula(text).map(|found| (found, Extraction::LastFormula)))
        .or_else(|| last_number(text).map(|found| (found, Extraction::LastNumber)))
}

/// A completion that is nothing but arithmetic: `3+2`.
fn is_formula(text: &str) -> bool {
    let text = text.trim();
    let signs =
        |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '*' | '/' | '^' | '(' | ')' | '.' | ' ');
    text.len() < 100 && text.contains(|c: char| c.is_ascii_digit()) && text.chars().all(signs)
}

/// The text after the last `</think>`; `None` where a thought was opened and never closed.
pub(crate) fn after_thinking(completion: &str) -> Option<&str> {
    let text = match completion.rfind("</think>") {
        Some(at) => &completion[at + "</think>".len()..],
        None => completion,
    };
    if text.contains("<think>") { None } else { Some(text) }
}

/// The content of the last balanced `\boxed{...}` or `\fbox{...}`, or the bare number after a brace-less
/// `\boxed`.
pub(crate) fn last_boxed(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut at = text.find("\\boxed").into_iter().chain(text.find("\\fbox")).min()?;
    let mut depth = 0_usize;
    // (first byte inside, depth outside) of boxes not yet closed.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut found = None;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                if let Some(inside) = box_opening(text, at) {
                    if bytes[inside - 1] == b'{' {
                        open.push((inside, depth));
                        depth += 1;
                    } else {
                        let end = number_end(bytes, inside);
                        if end > inside {
                            found = Some(&text[inside..end]);
                        }
                    }
                    at = inside;
                    continue;
                }
                // `\{` and `\}` are signs, not braces; `\\boxed` is a box whose backslash was escaped once
                // too often.
                at += if bytes.get(at + 1) == Some(&b'\\') && box_opening(text, at + 1).is_some() {
                    1
                } else {
                    2
                };
                continue;
            }
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if let Some(&(inside, outside)) = open.last()
                    && depth <= outside
                {
                    open.pop();
                    found = Some(&text[inside..at]);
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The first byte inside a box that starts with the backslash at `at`.
fn box_opening(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let rest = &bytes[at + 1..];
    let mut next = if rest.starts_with(b"boxed") {
        at + 6
    } else if rest.starts_with(b"fbox") {
        at + 5
    } else {
        return None;
    };
    let name_end = next;
    while bytes.get(next) == Some(&b' ') {
        next += 1;
    }
    match bytes.get(next) {
        Some(b'{') => Some(next + 1),
        Some(c) if c.is_ascii_digit() && next > name_end => Some(next),
        _ => None,
    }
}

fn number_end(bytes: &[u8], from: usize) -> usize {
    let digits = bytes[from..].iter().take_while(|c| c.is_ascii_digit()).count();
    from + digits
}

/// The text after the last "answer is" or "answer:", up to the end of its sentence or line.
fn anchored(text: &str) -> Option<&str> {
    let lower = text.as_bytes();
    let mut best = None;
    for anchor in ["answer is", "answer:", "answers are"] {
        let pattern = anchor.as_bytes();
        let hit = (0..(lower.len() + 1).saturating_sub(pattern.len()))
            .rev()
            .find(|&at| lower[at..at + pattern.len()].eq_ignore_ascii_case(pattern));
        best = best.max(hit.map(|at| at + pattern.len()));
    }
    let rest = text.get(best?..)?.trim_start_matches([' ', ':', '*']);
    let line = rest.lines().next()?;
    let end = line.find(". ").unwrap_or(line.len());
    let found = line[..end].trim().trim_end_matches('*');
    // A full stop ends the sentence, dots belong to the answer.
    let found = if found.ends_with("..") { found } else { found.trim_end_matches(['.', '*']) }.trim();
    if found.is_empty() { None } else { Some(found) }
}

/// The last `$...$` or `$$...$$`.
fn last_formula(text: &str) -> Option<&str> {
    let end = text.rfind('$')?;
    let text = text[..end].trim_end_matches('$');
    let start = text.rfind('$')?;
    let found = text[start + 1..].trim();
    if found.is_empty() { None } else { Some(found) }
}

/// The last number with its sign, thousands and decimals.
fn last_number(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let end = bytes.iter().rposition(u8::is_ascii_digit)? + 1;
    let mut start = end - 1;
    while start > 0 && (bytes[start - 1].is_ascii_digit() || matches!(bytes[start - 1], b'.' | b',')) {
        start -= 1;
    }
    while matches!(bytes[start], b'.' | b',') && !bytes[start + 1].is_ascii_digit() {
        start += 1;
    }
    if bytes[start] == b',' {
        start += 1;
    }
    let signed =
        start > 0 && bytes[start - 1] == b'-' && !(start > 1 && bytes[start - 2].is_ascii_alphanumeric());
    // Dots behind a decimal belong to it: 0.333... is not 0.333.
    let dots = ["...", "\u{2026}", "\\ldots", "\\dots"].iter().find(|dots| text[end..].starts_with(**dots));
    let dots = dots.filter(|_| text[start..end].contains('.')).map_or(0, |dots| dots.len());
    Some(&text[start - usize::from(signed)..end + dots])
}
