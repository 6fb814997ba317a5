//! Where prompts and SFT rows come from, and the one source of randomness.
//!
//! Every draw is a function of (seed, purpose, step): no generator lives longer than a step, so a checkpoint
//! needs no generator state, and a resumed run draws what the uninterrupted one would have drawn.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assay_testsets::{Problem, Task};
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::reason;
use crate::tasks::{Family, Split};

/// The generator of one purpose at one step.
pub fn stream(seed: u64, purpose: &str, step: u64) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(step.to_le_bytes());
    hash.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// A prompt with a completion to learn.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Row {
    /// What the policy is given.
    #[serde(alias = "prompt")]
    pub input: String,
    /// What it should write.
    #[serde(alias = "completion")]
    pub output: String,
}

/// What is wrong with the data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file of rows can't be read.
    #[error("cannot read {path}: {reason}", path = path.display(), reason = reason(source))]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not a row.
    #[error("{path} line {line}: expected {{\"input\": ..., \"output\": ...}}: {what}", path = path.display())]
    Row {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What came instead.
        what: String,
    },
    /// A line of a data file lacks what is needed.
    #[error("{path} line {line}: {what}", path = path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What was expected, what came.
        what: String,
    },
    /// A file can't be written.
    #[error("cannot write {path}: {reason}", path = path.display(), reason = reason(source))]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A problem file that the loader refuses; its message says where and why.
    #[error("{0}")]
    Problems(String),
    /// A file without a single problem or row.
    #[error("{path} is empty: nothing to train on", path = path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
}

/// Where prompts come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Generated without end.
    Family(Family),
    /// Read from a file.
    File(Vec<Problem>),
}

/// The sources of a recipe by name.
#[derive(Debug, Clone)]
pub struct Sources(BTreeMap<String, Source>);

impl Sources {
    /// The generated families, and the files of `[problems]`.
    pub fn load(problems: &BTreeMap<String, PathBuf>) -> Result<Sources, DataError> {
        let families =
            Family::ALL.into_iter().map(|family| Ok((family.name().to_owned(), Source::Family(family))));
        let files = problems.iter().map(|(name, path)| {
            let mut problems = read_problems(path)?;
            // As a family's: ids tell sources apart.
            let named =
                |problem: &mut Problem| problem.question_id = format!("{name}/{}", problem.question_id);
            problems.iter_mut().for_each(named);
            Ok((name.clone(), Source::File(problems)))
        });
        families.chain(files).collect::<Result<_, DataError>>().map(Sources)
    }

    /// Bytes of the longest prompt of a file, and whether a problem of one asks for a program.
    pub(crate) fn longest(&self) -> (usize, bool) {
        let files = self.0.values().filter_map(|source| match source {
            Source::File(problems) => Some(problems),
            Source::Family(_) => None,
        });
        files.flatten().fold((0, false), |(longest, code), problem| {
            (longest.max(problem.prompt.len()), code || matches!(problem.task, Task::Code(_)))
        })
    }

    /// The training prompts of one step: so many of each source. Names were checked by the recipe.
    pub fn draw(&self, counts: &BTreeMap<String, usize>, rng: &mut ChaCha8Rng) -> Vec<Problem> {
        let one = |source: &Source, rng: &mut ChaCha8Rng| match source {
            Source::Family(family) => family.question(Split::Train, rng).problem,
            Source::File(problems) => problems[rng.random_range(0..problems.len())].clone(),
        };
        let known = counts.iter().filter_map(|(name, count)| Some((self.0.get(name)?, *count)));
        known.flat_map(|(source, count)| (0..count).map(|_| one(source, rng)).collect::<Vec<_>>()).collect()
    }

    /// Problems to measure on: `split` of a family, different ones; the first of a file.
    pub fn fixed(&self, counts: &BTreeMap<String, usize>, split: Split, seed: u64) -> Vec<Problem> {
        let known = counts.iter().filter_map(|(name, count)| Some((self.0.get(name)?, *count)));
        known
            .flat_map(|(source, count)| match source {
                Source::Family(family) => {
                    let questions = family.distinct(split, count, &mut stream(seed, family.name(), 0));
                    questions.into_iter().map(|question| question.problem).collect::<Vec<_>>()
                }
                Source::File(problems) => problems.iter().take(count).cloned().collect(),
            })
            .collect()
    }
}

/// The rows of an SFT step drawn from the generated families, in random order.
pub fn family_rows(counts: &BTreeMap<String, usize>, rng: &mut ChaCha8Rng) -> Vec<Row> {
    let families = counts.iter().filter_map(|(name, count)| Some((Family::named(name)?, *count)));
    let mut rows: Vec<Row> = families
        .flat_map(|(family, count)| {
            let row = |_| {
                let question = family.question(Split::Train, rng);
                Row { input: question.problem.prompt, output: question.completion }
            };
            (0..count).map(row).collect::<Vec<_>>()
        })
        .collect();
    rows.shuffle(rng);
    rows
}

/// The rows of SFT step `step` (from 0) from a file's rows: `count` of them, each epoch in a new order.
pub fn file_rows(rows: &[Row], count: usize, step: u64, seed: u64) -> Vec<Row> {
    let mut epoch = None;
    let mut order: Vec<usize> = Vec::new();
    let at = |position: u64| {
        let now = position / rows.len() as u64;
        if epoch != Some(now) {
            order = (0..rows.len()).collect();
            order.shuffle(&mut stream(seed, "sft epoch", now));
            epoch = Some(now);
        }
        rows[order[(position % rows.len() as u64) as usize]].clone()
    };
    (step * count as u64..(step + 1) * count as u64).map(at).collect()
}

/// Reads a JSONL file of rows.
pub fn read_rows(path: &Path) -> Result<Vec<Row>, DataError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    let row = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| DataError::Row {
            path: path.to_owned(),
            line: index + 1,
            what: error.to_string(),
        })
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let rows: Vec<Row> = lines.map(row).collect::<Result<_, _>>()?;
    if rows.is_empty() { Err(DataError::Empty { path: path.to_owned() }) } else { Ok(rows) }
}

fn read_problems(path: &Path) -> Result<Vec<Problem>, DataError> {
    let refused = |error: &dyn std::fmt::Display| DataError::Problems(error.to_string());
    let problems = assay_testsets::load(path, None).map_err(|error| refused(&error))?;
    let problems: Vec<Problem> = problems.collect::<Result<_, _>>().map_err(|error| refused(&error))?;
    if problems.is_empty() { Err(DataError::Empty { path: path.to_owned() }) } else { Ok(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_purpose_step_and_seed() {
        let draw = |seed, purpose, step| stream(seed, purpose, step).random::<u64>();
        assert_eq!(draw(1, "prompts", 4), draw(1, "prompts", 4));
        let others = [draw(1, "prompts", 5), draw(1, "rollouts", 4), draw(2, "prompts", 4)];
        assert!(!others.contains(&draw(1, "prompts", 4)));
    }

    #[test]
    fn every_epoch_sees_every_row_once() {
        let rows: Vec<Row> = (0..10).map(|i| Row { input: i.to_string(), output: String::new() }).collect();
        let mut seen: Vec<String> =
            (0..5).flat_map(|step| file_rows(&rows, 4, step, 1)).map(|row| row.input).collect();
        assert_ne!(seen[..10], seen[10..], "each epoch has its own order");
        seen.sort();
        let twice: Vec<String> = (0..10).flat_map(|i| [i.to_string(), i.to_string()]).collect();
        assert_eq!(seen, twice);
    }

    /// Accuracy by source goes by what an id begins with, so that of a file was always of no problem.
    #[test]
    fn problems_of_a_file_have_its_name_before_their_ids() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.jsonl");
        std::fs::write(&path, "{\"id\": \"7\", \"problem\": \"1+1\", \"answer\": \"2\"}\n").unwrap();
        let sources = Sources::load(&[("mine".to_owned(), path)].into()).unwrap();
        let fixed = sources.fixed(&[("mine".to_owned(), 5)].into(), Split::HeldOut, 1);
        assert_eq!(fixed.iter().map(|problem| problem.question_id.as_str()).collect::<Vec<_>>(), ["mine/7"]);
    }

    #[test]
    fn a_bad_row_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        std::fs::write(&path, "{\"input\": \"a\", \"output\": \"b\"}\n\n{\"input\": \"a\"}\n").unwrap();
        let error = read_rows(&path).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("output"), "{error}");
        std::fs::write(&path, "\n").unwrap();
        assert!(read_rows(&path).unwrap_err().to_string().contains("empty"));
    }
}
