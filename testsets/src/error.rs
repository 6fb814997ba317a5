//! What is said when a file does not hold what it should: where, what was expected, what came, what to do.

use std::fmt;
use std::path::PathBuf;

/// Something a caller handed over that cannot be read as what it was given for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}; {hint}")]
pub struct Misfit {
    /// What should have been there.
    pub expected: String,
    /// What was there, shortened to one line.
    pub found: String,
    /// What the caller can do about it.
    pub hint: &'static str,
    /// Whether the machine or this process is at fault and not what was handed over: no descriptor, memory or room was left.
    pub ours: bool,
}

impl Misfit {
    pub(crate) fn new(expected: impl Into<String>, found: impl Into<String>, hint: &'static str) -> Misfit {
        Misfit { expected: expected.into(), found: shortened(found.into()), hint, ours: false }
    }
}

/// Where in a file a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line, counted from 1.
    pub line: u64,
    /// Record, counted from 1. Files that are one JSON array often hold all records in one line.
    pub record: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, record {}", self.line, self.record)
    }
}

/// A file of problems or completions that cannot be read. Mostly the caller's to mend, never a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The record, unless the file as a whole is at fault.
    pub place: Option<Place>,
    /// What did not fit.
    pub misfit: Misfit,
}

impl std::error::Error for LoadError {}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}", self.misfit)
    }
}

/// What a parser says of a text may quote the whole of it.
fn shortened(mut found: String) -> String {
    const LONGEST: usize = 400;
    if found.len() > LONGEST {
        found.truncate(found.floor_char_boundary(LONGEST));
        found.push_str("...");
    }
    found
}

/// Shortens what came to one printable line.
pub(crate) fn clip(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut line: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push_str("...");
    }
    format!("`{line}`")
}
