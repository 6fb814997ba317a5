//! `completions.jsonl`: a line for each sample obtained, in order of arrival, never changed afterwards. The texts stay
//! there: memory holds where each line lies. `assay grade` reads the file too.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::ledger::{Key, Lines};

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Completion {
    pub(super) question_id: String,
    /// From 0.
    pub(super) sample: usize,
    pub(super) seed: u32,
    pub(super) completion: String,
    /// `stop`, `length` and whatever else the server says.
    pub(super) finish_reason: Option<String>,
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
    /// From the first try to the answer.
    pub(super) seconds: f64,
}

/// What the server counted, over the samples obtained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) obtained: usize,
    pub(super) truncated: usize,
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
    /// Samples the server gave no number of tokens for.
    pub(super) uncounted: usize,
}

impl Totals {
    fn add(&mut self, line: &Completion) {
        self.obtained += 1;
        self.truncated += usize::from(line.finish_reason.as_deref() == Some("length"));
        self.prompt_tokens += line.prompt_tokens.unwrap_or_default();
        self.completion_tokens += line.completion_tokens.unwrap_or_default();
        self.uncounted += usize::from(line.completion_tokens.is_none());
    }

    pub(super) fn json(&self, asked: usize) -> Value {
        json!({
            "asked": asked,
            "obtained": self.obtained,
            "missing": asked - self.obtained,
            "truncated": self.truncated,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "uncounted": self.uncounted,
        })
    }
}

/// Where a line lies.
pub(super) type Span = (u64, usize);

pub(super) struct Completions {
    lines: Lines,
    pub(super) reader: Arc<Reader>,
    pub(super) spans: HashMap<Key, Span>,
    pub(super) totals: Totals,
}

impl Completions {
    /// The completions in `out`, this process's alone; half a line at the end, where a run was killed, is cut off.
    pub(super) fn open(out: &Path, resume: bool) -> Result<Completions, CliError> {
        let path = out.join("completions.jsonl");
        let failed = |error: io::Error| CliError::write("the completions", &path, &error);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        lock(&file, &path)?;
        let (spans, totals, end) = scan(&file, &path)?;
        if !spans.is_empty() && !resume {
            return Err(CliError::usage(format!(
                "{} already holds completions; go on with --resume, or give a new --out",
                path.display()
            )));
        }
        file.set_len(end).map_err(failed)?;
        let lines = Lines::open(path.clone())?;
        Ok(Completions { lines, reader: Arc::new(Reader { file, path }), spans, totals })
    }

    pub(super) fn add(&mut self, line: &Completion) -> Result<Span, CliError> {
        let start = self.lines.length;
        self.lines.append(line)?;
        let span = (start, (self.lines.length - start) as usize);
        self.spans.insert((line.question_id.clone(), line.sample), span);
        self.totals.add(line);
        Ok(span)
    }

    pub(super) fn sync(&self) -> Result<(), CliError> {
        self.lines.sync()
    }
}

/// Reads lines back, on any thread.
pub(super) struct Reader {
    /// Also holds the lock.
    file: File,
    path: PathBuf,
}

impl Reader {
    pub(super) fn text(&self, (start, length): Span) -> Result<String, CliError> {
        let mut bytes = vec![0; length];
        let read = self.file.read_exact_at(&mut bytes, start);
        read.map_err(|error| CliError::read("the completions", &self.path, &error))?;
        let line: Completion = serde_json::from_slice(&bytes).map_err(|error| {
            CliError::failure(format!("{} changed during the run: {error}", self.path.display()))
        })?;
        Ok(line.completion)
    }
}

/// A run that was just killed may hold it for a moment.
fn lock(file: &File, path: &Path) -> Result<(), CliError> {
    for _ in 0..50 {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(100)),
            Err(TryLockError::Error(error)) => {
                return Err(CliError::write("the completions", path, &error));
            }
        }
    }
    Err(CliError::usage(format!("{}: another run is writing it; wait, or give a new --out", path.display())))
}

/// All whole lines, and where they end.
fn scan(file: &File, path: &Path) -> Result<(HashMap<Key, Span>, Totals, u64), CliError> {
    let (mut spans, mut totals, mut end) = (HashMap::new(), Totals::default(), 0);
    let (mut reader, mut bytes) = (BufReader::new(file), Vec::new());
    for number in 1.. {
        bytes.clear();
        let read = reader.read_until(b'\n', &mut bytes);
        let length = read.map_err(|error| CliError::read("the completions", path, &error))?;
        if !bytes.ends_with(b"\n") {
            break;
        }
        let wrong = |why: String| {
            CliError::usage(format!("{}: line {number}: {why}; use a new --out", path.display()))
        };
        let line: Completion = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        totals.add(&line);
        let key = (line.question_id, line.sample);
        if spans.contains_key(&key) {
            return Err(wrong(format!("problem `{}`, sample {} a second time", key.0, key.1)));
        }
        spans.insert(key, (end, length));
        end += length as u64;
    }
    Ok((spans, totals, end))
}
