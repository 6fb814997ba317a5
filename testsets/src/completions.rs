//! What a model answered: files of completions.
//!
//! Forms: LiveCodeBench's custom_evaluator, a JSON array of `{question_id, code_list}` or of lists of
//! programs in the order of the problems; and JSON Lines (or an array) of `{question_id, completion or generation}` or
//! `{question_id, output_list | completions | code_list}`, `task_id` for `question_id` where it has that
//! name. `code_list` and bare lists hold code already taken out of the completion; where a row has both, that
//! is graded.

use crate::error::{LoadError, Misfit, Place, clip};
use crate::fields::{Fields, read};
use crate::load::MAX_RECORD;
use crate::records::Records;
use std::collections::HashMap;
use std::path::Path;

/// All that was sampled for one problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completions {
    /// The problem; `None` where the file goes by the order of the problems (sorted by `question_id` as
    /// strings, as LiveCodeBench does).
    pub question_id: Option<String>,
    /// One text per sample, in file order.
    pub samples: Vec<String>,
    /// Whether the samples are code already, so that nothing is to be taken out of them.
    pub extracted: bool,
}

const IDS: [&str; 4] = ["question_id", "task_id", "problem_id", "id"];
const CODES: [&str; 1] = ["code_list"];
const TEXTS: [&str; 2] = ["output_list", "completions"];

/// Reads a file of completions, in file order. Rows of one `completion` each are gathered by id; two lists
/// for one id are an error.
///
/// # Errors When the file cannot be read or a row is not one of the forms: where, what was expected, what
/// came, what to do.
pub fn load_completions(path: &Path) -> Result<Vec<Completions>, LoadError> {
    let mut records = Records::open(path, MAX_RECORD)?;
    let mut gathered = Gathered::default();
    while let Some((place, bytes)) = records.next()? {
        let row = parse(bytes);
        row.and_then(|row| gathered.add(place, row)).map_err(|misfit| records.error(place, misfit))?;
    }
    gathered.done(path)
}

/// One sample; `generation` is NeMo-Skills's word.
fn single(fields: &Fields<'_>) -> Result<Option<String>, Misfit> {
    Ok(fields.optional_string("completion")?.or(fields.optional_string("generation")?))
}

pub(crate) struct Row {
    pub(crate) completions: Completions,
    /// One sample of maybe several rows for the same problem.
    single: bool,
}

#[derive(Default)]
pub(crate) struct Gathered {
    all: Vec<Completions>,
    seen: HashMap<String, (usize, Place, bool)>,
}

impl Gathered {
    /// Takes a row; its place among what [`Gathered::done`] returns.
    pub(crate) fn add(&mut self, place: Place, row: Row) -> Result<usize, Misfit> {
        let ordered = self.all.first().map(|first| first.question_id.is_none());
        if ordered.is_some_and(|ordered| ordered != row.completions.question_id.is_none()) {
            let hint = "give every row a question_id, or none";
            return Err(Misfit::new("rows all with or all without question_id", "both", hint));
        }
        let Some(id) = row.completions.question_id.clone() else {
            self.all.push(row.completions);
            return Ok(self.all.len() - 1);
        };
        match self.seen.get(&id) {
            Some(&(at, _, true)) if row.single => {
                self.all[at].samples.extend(row.completions.samples);
                Ok(at)
            }
            Some((_, earlier, _)) => {
                let found = format!("{} again, first at {earlier}", clip(&id));
                Err(Misfit::new("one list of samples per question_id", found, "join the two lists"))
            }
            None => {
                self.seen.insert(id, (self.all.len(), place, row.single));
                self.all.push(row.completions);
                Ok(self.all.len() - 1)
            }
        }
    }

    pub(crate) fn done(self, path: &Path) -> Result<Vec<Completions>, LoadError> {
        if !self.all.is_empty() {
            return Ok(self.all);
        }
        let misfit = Misfit::new("at least one completion", "none", "check that this is the file you meant");
        Err(LoadError { file: path.to_owned(), place: None, misfit })
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Row, Misfit> {
    if bytes.first() == Some(&b'[') {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Misfit::new("UTF-8", error.to_string(), "convert the file to UTF-8"))?;
        let samples = read(text, "the row", "a list of programs")?;
        return Ok(Row {
            completions: Completions { question_id: None, samples, extracted: true },
            single: false,
        });
    }
    let fields = Fields::parse(bytes, "a row of completions, a JSON object")?;
    let question_id = fields.id(&IDS)?.ok_or_else(|| fields.missing("a `question_id`"))?;
    let list = |names: &[&str]| {
        fields.first(names).map(|(name, raw)| read::<Vec<String>>(raw, name, "a list of strings")).transpose()
    };
    let (samples, extracted, single) = match list(&CODES)? {
        Some(samples) => (samples, true, false),
        None => match list(&TEXTS)? {
            Some(samples) => (samples, false, false),
            None => match single(&fields)? {
                Some(sample) => (vec![sample], false, true),
                None => {
                    return Err(fields.missing("`completion`, `output_list`, `completions` or `code_list`"));
                }
            },
        },
    };
    let completions = Completions { question_id: Some(question_id), samples, extracted };
    Ok(Row { completions, single })
}
