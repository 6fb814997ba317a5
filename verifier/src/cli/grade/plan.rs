//! What is to be graded: each completion with its problem.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use assay_testsets::{CompletionStore, Problem, Task};
use assay_verifier::Mode;
use assay_verifier::window::Window;

use super::Args;
use crate::cli::CliError;
use crate::cli::grader::{Grader, Rows, Sample};
use crate::cli::ledger::Key;
use crate::cli::problems::{Loaded, Problems, Shared, bad_file};
use crate::cli::results::Text;

/// One of equal parts of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shard {
    /// From 1.
    pub(super) part: usize,
    pub(super) of: usize,
}

pub(super) struct Plan {
    pub(super) problems: Problems,
    completions: CompletionStore,
    pub(super) samples: Vec<Planned>,
    /// Where those of each problem stand among them: one row of the completions, so next to each other.
    places: HashMap<usize, Range<usize>>,
    texts: Shared<Vec<String>>,
    pub(super) window: Window,
}

/// A sample and the row of the completions that it stands in, at the place of its number.
pub(super) struct Planned {
    sample: Sample,
    row: usize,
}

/// What a worker keeps of its last sample.
pub(super) type Held = Option<(Arc<Loaded>, Arc<Vec<String>>)>;

impl Plan {
    pub(super) fn load(args: &Args) -> Result<Plan, CliError> {
        let problems = Problems::open(&args.problems, args.rules.format, &args.rules)?;
        let completions = CompletionStore::open(&args.completions).map_err(bad_file)?;
        let mut samples = pair(args, &problems.about, &completions)?;
        // Whole problems go to a shard, and later ones do not move when a problem has more samples.
        if let Some(shard) = args.shard {
            samples.retain(|planned| planned.sample.problem % shard.of == shard.part - 1);
        }
        let mut places: HashMap<usize, Range<usize>> = HashMap::new();
        for (at, planned) in samples.iter().enumerate() {
            places.entry(planned.sample.problem).or_insert(at..at).end = at + 1;
        }
        let texts = Shared::new(completions.rows().len());
        let window = args.window.window();
        Ok(Plan { problems, completions, samples, places, texts, window })
    }

    pub(super) fn key(&self, at: usize) -> Key {
        let Sample { problem, number, .. } = self.samples[at].sample;
        (self.problems.about[problem].question_id.clone(), number)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        (0..self.samples.len()).map(|at| self.key(at))
    }

    /// Judges a sample.
    pub(super) fn rows(&self, at: usize, grader: &Grader, held: &mut Held) -> Result<Rows, CliError> {
        let Planned { sample, row } = self.samples[at];
        let loaded = self.problems.get(sample.problem)?;
        let texts = self.texts.get(row, || self.completions.texts(row)).map_err(bad_file)?;
        let (loaded, texts) = held.insert((loaded, texts));
        grader.rows(loaded, sample, texts[sample.number].clone())
    }

    /// The samples of the problem at this place, as they were submitted.
    pub(super) fn texts_of(&self, place: usize) -> Result<Vec<Text>, CliError> {
        let samples = &self.samples[self.places.get(&place).cloned().unwrap_or_default()];
        let Some(first) = samples.first() else { return Ok(Vec::new()) };
        let mut texts = self.completions.texts(first.row).map_err(bad_file)?;
        let mut text = |&Planned { sample: Sample { number, mode, .. }, .. }: &Planned| Text {
            number,
            mode,
            text: std::mem::take(&mut texts[number]),
        };
        Ok(samples.iter().map(&mut text).collect())
    }
}

/// Each completion with its problem.
fn pair(args: &Args, problems: &[Problem], completions: &CompletionStore) -> Result<Vec<Planned>, CliError> {
    let place: HashMap<&str, usize> =
        problems.iter().enumerate().map(|(index, problem)| (problem.question_id.as_str(), index)).collect();
    // Files without ids go by the problems sorted by id, as LiveCodeBench's do.
    let mut order: Vec<usize> = (0..problems.len()).collect();
    order.sort_by_key(|&index| &problems[index].question_id);
    let (file, problem_file) = (args.completions.display(), args.problems.display());
    let rows = completions.rows();
    if rows.iter().all(|row| row.question_id.is_none()) && rows.len() != problems.len() {
        return Err(CliError::usage(format!(
            "{file}: expected {} rows, one per problem of {problem_file}, found {}; rows without question_id go by \
             the problems sorted by question_id, so give the ids or all rows",
            problems.len(),
            rows.len()
        )));
    }
    let mut samples = Vec::new();
    let window = args.window.window();
    let inside = |problem: &Problem| window.asks(problem);
    for (row, completions) in rows.iter().enumerate() {
        let problem = match &completions.question_id {
            None => order[row],
            Some(id) => *place.get(id.as_str()).ok_or_else(|| {
                CliError::usage(format!(
                    "{file}: record {}: question_id `{id}` is not in {problem_file}; remove the row or give the \
                     problem file it belongs to",
                    row + 1
                ))
            })?,
        };
        if inside(&problems[problem]) {
            let mode = match (completions.extracted, &problems[problem].task) {
                (false, _) => Mode::Completion,
                (true, Task::Code(_)) => Mode::Code,
                (true, Task::Math(_)) => Mode::Answer,
            };
            let numbers = 0..completions.samples.len();
            samples.extend(numbers.map(|number| Planned { sample: Sample { problem, number, mode }, row }));
        }
    }
    if samples.is_empty() {
        return Err(CliError::usage(format!(
            "{problem_file}: no problem with completions has a contest_date in the window; check the dates"
        )));
    }
    if !args.allow_missing {
        let asked: Vec<usize> = (0..problems.len()).filter(|&index| inside(&problems[index])).collect();
        refuse_missing(args, problems, &asked, &samples)?;
    }
    Ok(samples)
}

fn refuse_missing(
    args: &Args,
    problems: &[Problem],
    asked: &[usize],
    samples: &[Planned],
) -> Result<(), CliError> {
    let answered: HashSet<usize> = samples.iter().map(|planned| planned.sample.problem).collect();
    let mut missing =
        asked.iter().filter(|index| !answered.contains(index)).map(|&index| &problems[index].question_id);
    match missing.next() {
        None => Ok(()),
        Some(first) => Err(CliError::usage(format!(
            "{}: {} of {} problems have no completion, the first is `{first}`; add them, or grade what is there with \
             --allow-missing",
            args.completions.display(),
            1 + missing.count(),
            asked.len()
        ))),
    }
}

pub(super) fn shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    match parts {
        Some((part, of)) if 1 <= part && part <= of => Ok(Shard { part, of }),
        _ => Err("a shard is written as 1/4: which part, from 1, and of how many".to_owned()),
    }
}
