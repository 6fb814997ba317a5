//! Difficulty by length: a prompt whose answers are short is easy, and most of those teach little.
//!
//! 1.1 drops at random a part of the prompts whose answers are around or below 2,000 tokens; 1.0 drops those below 2,000
//! and thins those up to 4,000. The length of a prompt is the mean over its answers in the file, so that all its rows stay
//! or go together.

use std::collections::HashMap;

use serde::Serialize;

use super::{Files, Line, PromptHash, Sieved, Why, each_line, lot, prompt_hash, sieve};
use crate::data::DataError;
use crate::progress::Progress;
use crate::tokenizer::Tokenizer;

/// Which lengths are how common.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Below this a prompt is short.
    pub short: f64,
    /// Below this, and not short, it is middling.
    pub middling: f64,
    /// The part of the short ones that stays.
    pub keep_short: f64,
    /// The part of the middling ones that stays.
    pub keep_middling: f64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { short: 2000.0, middling: 4000.0, keep_short: 0.0, keep_middling: 0.5 }
    }
}

/// How an answer's length is told.
#[derive(Debug)]
pub enum Ruler {
    /// A field of the row holds it.
    Field(String),
    /// A tokenizer counts.
    Tokens(Box<Tokenizer>),
    /// Words between white space.
    Words,
}

impl Ruler {
    fn length(&self, line: &Line<'_>) -> Result<f64, String> {
        let response = || line.response();
        match self {
            Ruler::Field(name) => line
                .value
                .get(name)
                .and_then(serde_json::Value::as_f64)
                .ok_or_else(|| format!("no number in {name:?}")),
            Ruler::Tokens(tokenizer) => {
                tokenizer.encode(&response()?).map(|ids| ids.len() as f64).map_err(|error| error.to_string())
            }
            Ruler::Words => Ok(response()?.split_whitespace().count() as f64),
        }
    }
}

/// How many prompts there are of which length, and how many of them stayed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Lengths {
    /// Short, middling, long.
    pub before: [usize; 3],
    /// The same after.
    pub after: [usize; 3],
}

/// Thins a file by the lengths of its answers.
pub fn thin(
    files: &Files,
    ruler: &Ruler,
    rules: &Rules,
    seed: u64,
    progress: &Progress,
) -> Result<(Sieved, Lengths), DataError> {
    let means = mean_lengths(files, ruler, progress)?;
    let class = |mean: f64| if mean < rules.short { 0 } else { 1 + usize::from(mean >= rules.middling) };
    let keep = [rules.keep_short, rules.keep_middling, 1.0];
    let stays = |prompt: &PromptHash, class: usize| lot(seed, "difficulty", prompt) < keep[class];
    let mut told = Lengths::default();
    for (prompt, mean) in &means {
        let class = class(*mean);
        told.before[class] += 1;
        told.after[class] += usize::from(stays(prompt, class));
    }
    let sieved = sieve(files, progress, |line| {
        let prompt = prompt_hash(&line.prompt()?);
        let mean = *means.get(&prompt).ok_or("the file changed while it was read")?;
        let class = class(mean);
        let reason = ["short", "middling", "long"][class].to_owned();
        Ok((!stays(&prompt, class)).then(|| Why { reason, detail: format!("{mean:.0}") }))
    })?;
    Ok((sieved, told))
}

/// How long the answers to each prompt are.
fn mean_lengths(
    files: &Files,
    ruler: &Ruler,
    progress: &Progress,
) -> Result<HashMap<PromptHash, f64>, DataError> {
    let mut sums: HashMap<PromptHash, (f64, u32)> = HashMap::new();
    let mut add = |line: &Line<'_>| {
        let (sum, count) = sums.entry(prompt_hash(&line.prompt()?)).or_default();
        (*sum, *count) = (*sum + ruler.length(line)?, *count + 1);
        Ok(())
    };
    each_line(&files.input, progress, |line| {
        add(line).map_err(|what| DataError::Line { path: files.input.clone(), line: line.number, what })
    })?;
    Ok(sums.into_iter().map(|(prompt, (sum, count))| (prompt, sum / f64::from(count))).collect())
}
