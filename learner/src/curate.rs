//! Data before training: what is thrown out, thinned or kept, and why.
//!
//! Each tool reads files of rows once or twice and writes those that stay as JSON Lines, in their order: lines as they came,
//! byte for byte, and what came as an array or as parquet a row a line. What must be remembered of a file are hashes, some
//! 20 bytes a prompt, so files may be larger than memory. A tool's output stands beside its place until it is whole. Nothing
//! depends on the order of rows or on a clock: where a part is kept at random, a row's lot is drawn from the seed and its own
//! prompt, so all answers to one prompt share it, and the same row meets the same fate in any file.
//!
//! The rules are those of AceReason-Nemotron 1.0 (sections 3.2.1, 3.3, A.7) and 1.1 (its SFT data), as far as they are
//! printed; each default is theirs, and each is an option.

pub mod difficulty;
pub mod ngrams;
pub mod passes;
pub mod scaling;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::data::{DataError, rows};
use crate::progress::{Bar, Progress};

/// A row of a data file.
#[derive(Debug)]
pub struct Line<'a> {
    /// Of its line, from 1; of itself, where a file is no JSON Lines.
    pub number: usize,
    /// As it came, in one line and without its end.
    pub text: &'a str,
    /// An object.
    pub value: Value,
}

impl Line<'_> {
    /// What the policy is asked, as SFT reads it: `prompt`, `input`, `question`, `problem` or `question_content`, a text or
    /// messages, or `messages` before the assistant's last word. Of messages all that is said, in lines.
    ///
    /// # Errors
    /// There is none of these; what was expected.
    pub fn prompt(&self) -> Result<String, String> {
        rows::prompt(&self.value).map(|messages| rows::said(&messages))
    }

    /// What it should write: `output`, `completion`, `response` or `solution`, or the assistant's last word in `messages`.
    ///
    /// # Errors
    /// There is none of these; what was expected.
    pub fn response(&self) -> Result<String, String> {
        rows::answer(&self.value)
    }

    /// The problem's name: `question_id`, `id`, `problem_id` or `task_id`, else the line's number.
    pub fn id(&self) -> String {
        const NAMES: [&str; 4] = ["question_id", "id", "problem_id", "task_id"];
        let of = |name: &&str| match self.value.get(*name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        NAMES.iter().find_map(of).unwrap_or_else(|| format!("line {}", self.number))
    }
}

/// A prompt in 16 bytes: equal for texts that differ in case and white space alone.
pub type PromptHash = [u8; 16];

/// The hash of what a text says.
pub fn prompt_hash(text: &str) -> PromptHash {
    let mut hash = Sha256::new();
    for word in text.split_whitespace() {
        hash.update(word.to_lowercase().as_bytes());
        hash.update(b" ");
    }
    let digest: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|at| digest[at])
}

/// The lot of a prompt, from 0 to below 1, the same wherever it stands.
pub fn lot(seed: u64, purpose: &str, prompt: &PromptHash) -> f64 {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(purpose.as_bytes());
    hash.update(prompt);
    let digest: [u8; 32] = hash.finalize().into();
    let first = u64::from_le_bytes(std::array::from_fn(|at| digest[at]));
    (first >> 11) as f64 / (1u64 << 53) as f64
}

/// What became of a file's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sieved {
    /// Rows read.
    pub rows: usize,
    /// Rows written.
    pub kept: usize,
    /// Rows left out, by reason.
    pub dropped: BTreeMap<String, usize>,
}

/// Why a row goes: a reason that is counted, and what of it is this row's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// One of a few.
    pub reason: String,
    /// Any text; empty if there is no more to say.
    pub detail: String,
}

impl Why {
    /// A reason that says all.
    pub fn only(reason: &str) -> Why {
        Why { reason: reason.to_owned(), detail: String::new() }
    }
}

/// From where to where.
#[derive(Debug, Clone)]
pub struct Files {
    /// JSON Lines, one JSON array, or parquet.
    pub input: PathBuf,
    /// The rows that stay, as JSON Lines.
    pub output: PathBuf,
    /// The lines that go, each as `{"line", "id", "reason", "detail"}`, if somebody wants to know.
    pub dropped: Option<PathBuf>,
}

/// Writes the lines for which there is no reason to go.
pub fn sieve(
    files: &Files,
    progress: &Progress,
    mut why: impl FnMut(&Line<'_>) -> Result<Option<Why>, String>,
) -> Result<Sieved, DataError> {
    let mut sieved = Sieved::default();
    let mut kept = Whole::create(&files.output)?;
    let mut gone = files.dropped.as_deref().map(Whole::create).transpose()?;
    each_line(&files.input, progress, |line| {
        sieved.rows += 1;
        let Some(why) = why(line).map_err(|what| at(&files.input, line.number, what))? else {
            sieved.kept += 1;
            return kept.write(line.text);
        };
        *sieved.dropped.entry(why.reason.clone()).or_default() += 1;
        let Some(gone) = &mut gone else { return Ok(()) };
        let row = serde_json::json!({ "line": line.number, "id": line.id(), "reason": why.reason, "detail": why.detail });
        gone.write(&row.to_string())
    })?;
    kept.finish()?;
    gone.map_or(Ok(()), Whole::finish)?;
    Ok(sieved)
}

/// Does something with each row of a file, in any form that SFT reads.
pub fn each_line(
    path: &Path,
    progress: &Progress,
    mut with: impl FnMut(&Line<'_>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bar: Bar<'_> = progress.count(&name);
    for row in rows::texts(path)? {
        let (number, mut text) = row?;
        let value = serde_json::from_str(&text).map_err(|error| at(path, number, error.to_string()))?;
        let Value::Object(_) = value else {
            return Err(at(path, number, "it is no JSON object".to_owned()));
        };
        text.truncate(text.trim_end().len());
        if text.contains('\n') {
            text = value.to_string();
        }
        with(&Line { number, text: &text, value })?;
        bar.advance(1, "rows");
    }
    Ok(())
}

fn at(path: &Path, line: usize, what: String) -> DataError {
    DataError::Line { path: path.to_owned(), line, what }
}

/// A file that is in its place once it is whole.
struct Whole {
    path: PathBuf,
    file: BufWriter<tempfile::NamedTempFile>,
}

impl Whole {
    fn create(path: &Path) -> Result<Whole, DataError> {
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::NamedTempFile::new_in(directory)
            .map_err(|source| DataError::Write { path: path.to_owned(), source })?;
        Ok(Whole { path: path.to_owned(), file: BufWriter::with_capacity(1 << 20, file) })
    }

    fn write(&mut self, line: &str) -> Result<(), DataError> {
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|source| DataError::Write { path: self.path.clone(), source })
    }

    fn finish(self) -> Result<(), DataError> {
        let failed = |source| DataError::Write { path: self.path.clone(), source };
        let file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&self.path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// What makes two rows the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Same {
    /// The prompt: one row for each.
    Prompt,
    /// Prompt and response: a prompt may have several responses.
    PromptAndResponse,
}

/// Keeps the first of equal rows.
pub fn dedup(files: &Files, same: Same, progress: &Progress) -> Result<Sieved, DataError> {
    let mut seen: HashSet<PromptHash> = HashSet::new();
    sieve(files, progress, |line| {
        let mut text = line.prompt()?;
        if same == Same::PromptAndResponse {
            text = format!("{text}\u{0} {}", line.response()?);
        }
        Ok((!seen.insert(prompt_hash(&text))).then(|| Why::only("seen before")))
    })
}

#[cfg(test)]
mod tests;
