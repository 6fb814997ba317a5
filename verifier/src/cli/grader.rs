//! A sample of a run becomes its two rows; every command that grades files comes through here, on as many threads as
//! there are slots.
//!
//! A program that was judged already is not run again: its rows are those of the first, times included. What was judged
//! is known by a hash of everything that decides the verdict: the program and its language, the problem's record and
//! its format, the rules, the limits, assay's version, the interpreters and compilers. In memory that holds for one
//! run; with `--cache` also for later ones. Math is not kept: comparing anew is cheaper than a hash. Neither is what
//! has no verdict.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use assay_sandbox::Sandbox;
use assay_testsets::{Problem, Task};
use assay_verifier::judge::JudgeError;
use assay_verifier::kept::{Kept, Key};
use assay_verifier::report::{self, Detail, Graded, Outcome};
use assay_verifier::{Judge, JudgeOptions, Mode, Profile, Submission};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::problems::Loaded;
use super::rules::Rules;
use super::{CliError, output};

/// One completion of one problem of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// The problem's place in its file.
    pub(crate) problem: usize,
    pub(crate) number: usize,
    pub(crate) mode: Mode,
}

/// The two lines of a sample.
pub(crate) type Rows = (Graded, Detail);

pub(crate) struct Grader {
    judge: Judge,
    options: JudgeOptions<'static>,
    cache: Option<Cache>,
}

impl Grader {
    /// `conditions` is the run's provenance.
    pub(crate) fn new(
        sandbox: Option<Sandbox>,
        options: JudgeOptions<'static>,
        rules: &Rules,
        conditions: &Value,
    ) -> Result<Grader, CliError> {
        let cache = match rules.no_cache {
            true => None,
            false => Some(Cache::new(rules.cache.as_deref(), conditions)?),
        };
        Ok(Grader { judge: Judge::new(sandbox), options, cache })
    }

    /// The rows of a sample.
    ///
    /// # Errors
    /// When the run as a whole asks for something impossible. Our own failure is a row.
    pub(crate) fn rows(&self, loaded: &Loaded, sample: Sample, text: String) -> Result<Rows, CliError> {
        let options = JudgeOptions { mode: sample.mode, ..self.options };
        let key = self.cache.as_ref().and_then(|_| key(loaded, &text, &options));
        let judge = |text: String| self.judged(&loaded.problem, sample, text, &options);
        let mut rows = match (&self.cache, key) {
            (Some(cache), Some(key)) => cache.rows(key, || judge(text))?,
            _ => judge(text)?,
        };
        for (id, number) in
            [(&mut rows.0.question_id, &mut rows.0.sample), (&mut rows.1.question_id, &mut rows.1.sample)]
        {
            id.clone_from(&loaded.problem.question_id);
            *number = sample.number;
        }
        Ok(rows)
    }

    fn judged(
        &self,
        problem: &Problem,
        sample: Sample,
        completion: String,
        options: &JudgeOptions,
    ) -> Result<Rows, CliError> {
        let id = &problem.question_id;
        let submission = Submission { question_id: id.clone(), completion };
        match self.judge.judge(problem, &submission, options) {
            Err(JudgeError::Caller(why)) => {
                Err(CliError::usage(format!("problem `{id}`, sample {}: {why}", sample.number)))
            }
            judged => Ok(report::rows(id, sample.number, &judged)),
        }
    }
}

/// The program that is graded, or nothing where there is none.
pub(crate) fn program(text: &str, mode: Mode, options: &JudgeOptions) -> String {
    let options = JudgeOptions { mode, ..*options };
    options.extraction().program(text, options.language).map_or_else(String::new, |(code, _)| code)
}

/// What decides the verdict beside the run's conditions; `None` for what is not kept.
fn key(loaded: &Loaded, text: &str, options: &JudgeOptions) -> Option<Key> {
    if !matches!(loaded.problem.task, Task::Code(_)) {
        return None;
    }
    let program = options.extraction().program(text, options.language)?;
    let mut hash = Sha256::new();
    hash.update(loaded.digest);
    hash.update(loaded.problem.question_id.len().to_le_bytes());
    hash.update(&loaded.problem.question_id);
    hash.update(program.1.name().len().to_le_bytes());
    hash.update(program.1.name());
    // That profile also looks at the other blocks.
    hash.update(if options.profile == Profile::AceReason { text } else { &program.0 });
    Some(hash.finalize().into())
}

/// Rows by what was judged.
struct Cache {
    /// One lock per program, so that of two equal ones the second waits for the first.
    known: Mutex<HashMap<Key, Arc<Mutex<Option<Rows>>>>>,
    kept: Option<Kept>,
}

impl Cache {
    fn new(directory: Option<&Path>, conditions: &Value) -> Result<Cache, CliError> {
        let mut conditions = conditions.clone();
        if let Some(conditions) = conditions.as_object_mut() {
            // What is judged and which part of it does not matter; the record's hash stands in each key.
            conditions.retain(|name, _| !["completions", "window", "shard", "generation"].contains(&&**name));
            if let Some(problems) = conditions.get_mut("problems").and_then(Value::as_object_mut) {
                problems.retain(|name, _| name == "format");
            }
        }
        let open = |directory: &Path| {
            Kept::open(directory, &conditions)
                .map_err(|error| CliError::write("the cache", directory, &error))
        };
        Ok(Cache { known: Mutex::default(), kept: directory.map(open).transpose()? })
    }

    fn rows(&self, key: Key, judge: impl FnOnce() -> Result<Rows, CliError>) -> Result<Rows, CliError> {
        let place = self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = &*place {
            return Ok(rows.clone());
        }
        if let Some(rows) = self.kept.as_ref().and_then(|kept| kept.read(&key)).filter(whole) {
            return Ok(place.insert(rows).clone());
        }
        let rows = judge()?;
        if rows.0.outcome == Outcome::Graded {
            *place = Some(rows.clone());
            if let Some(Err(error)) = self.kept.as_ref().map(|kept| kept.write(&key, &rows)) {
                output::log(&format!("warning: cannot keep a result: {error}"));
            }
        }
        Ok(rows)
    }
}

/// Anything else is judged again.
fn whole(rows: &Rows) -> bool {
    rows.0.outcome == Outcome::Graded && rows.0.verdict.is_some()
}
