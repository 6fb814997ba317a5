//! Decontamination: no prompt that shares a run of words with a test item.
//!
//! The papers drop a prompt for any 9-gram it has in common with a test item; for code any 14-gram, the same URL, or a
//! date of release behind the tests' cut. Words are runs of letters and digits, in lower case, so a reformatted
//! copy is a copy; a test item of fewer words must be in the prompt whole. Grams are kept as 64-bit hashes: among 10^9
//! words of prompts and 10^6 of tests an innocent prompt is lost with a probability of 10^-4.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;

use serde_json::Value;

use super::{Files, Line, Sieved, Why, each_line, sieve};
use crate::data::DataError;
use crate::progress::Progress;

/// What counts as contaminated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Words in a row that must not be shared.
    pub words: usize,
    /// Whether a row that names the URL of a test item goes.
    pub urls: bool,
    /// `YYYY-MM-DD`: rows released on that day or later go.
    pub released_before: Option<String>,
}

impl Rules {
    /// Of SFT and math: 9 words.
    pub fn math() -> Rules {
        Rules { words: 9, urls: false, released_before: None }
    }

    /// Of code: 14 words, URLs, nothing from 2024-08-01 on.
    pub fn code() -> Rules {
        Rules { words: 14, urls: true, released_before: Some("2024-08-01".to_owned()) }
    }
}

/// What test items say, as hashes of their grams.
#[derive(Debug, Default)]
struct Index {
    /// Grams of each length there is: the rules', and shorter ones of shorter items.
    grams: HashMap<usize, HashMap<u64, usize>>,
    urls: HashMap<String, usize>,
    names: Vec<String>,
}

impl Index {
    fn add(&mut self, name: String, prompt: &str, urls: Vec<String>, words: usize) {
        let text = split(prompt);
        let length = text.len().min(words);
        let item = self.names.len();
        if length > 0 {
            let grams = self.grams.entry(length).or_default();
            text.windows(length).for_each(|gram| _ = grams.entry(hash(gram)).or_insert(item));
        }
        urls.into_iter().for_each(|url| _ = self.urls.entry(url).or_insert(item));
        self.names.push(name);
    }

    /// The name of the test item that a text shares a gram with, and the gram.
    fn shared(&self, prompt: &str) -> Option<(&str, String)> {
        let text = split(prompt);
        self.grams.iter().filter(|(length, _)| **length <= text.len()).find_map(|(length, grams)| {
            let found = |gram: &[String]| Some((grams.get(&hash(gram))?, gram.join(" ")));
            let (item, gram) = text.windows(*length).find_map(found)?;
            Some((self.names[*item].as_str(), gram))
        })
    }
}

/// Leaves out what the tests have.
pub fn decontaminate(
    files: &Files,
    tests: &[PathBuf],
    rules: &Rules,
    progress: &Progress,
) -> Result<Sieved, DataError> {
    let mut index = Index::default();
    for path in tests {
        each_line(path, progress, |line| {
            let prompt = line.prompt().map_err(|what| DataError::Line {
                path: path.clone(),
                line: line.number,
                what,
            })?;
            let name = format!("{} of {}", line.id(), path.display());
            index.add(name, &prompt, if rules.urls { urls(line) } else { Vec::new() }, rules.words);
            Ok(())
        })?;
    }
    sieve(files, progress, |line| {
        let prompt = line.prompt()?;
        if let (Some(date), Some(cut)) = (date(line), &rules.released_before)
            && date.as_str() >= cut.as_str()
        {
            return Ok(Some(Why { reason: format!("released on {cut} or later"), detail: date }));
        }
        let named = if rules.urls { urls(line) } else { Vec::new() };
        if let Some(url) = named.into_iter().find(|url| index.urls.contains_key(url)) {
            let detail = format!("{url}: {}", index.names[index.urls[&url]]);
            return Ok(Some(Why { reason: "URL of a test item".to_owned(), detail }));
        }
        let why = |(name, gram)| Why {
            reason: "words of a test item".to_owned(),
            detail: format!("{gram:?}: {name}"),
        };
        Ok(index.shared(&prompt).map(why))
    })
}

/// Runs of letters and digits, in lower case.
fn split(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn hash(gram: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    gram.hash(&mut hasher);
    hasher.finish()
}

/// Where a row says it comes from, without what two spellings of one address differ in.
fn urls(line: &Line<'_>) -> Vec<String> {
    const NAMES: [&str; 5] = ["url", "link", "problem_url", "question_link", "source_url"];
    let texts = NAMES.iter().filter_map(|name| line.value.get(*name)?.as_str());
    texts.map(plain_url).filter(|url| !url.is_empty()).collect()
}

fn plain_url(url: &str) -> String {
    let url = url.trim().to_lowercase();
    let bare = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let bare = bare.split(['?', '#']).next().unwrap_or_default();
    bare.strip_prefix("www.").unwrap_or(bare).trim_end_matches('/').to_owned()
}

/// The day a row was released, if it says one.
fn date(line: &Line<'_>) -> Option<String> {
    const NAMES: [&str; 5] = ["contest_date", "release_date", "date", "created_at", "published"];
    let text = NAMES.iter().find_map(|name| line.value.get(*name).and_then(Value::as_str))?;
    day(text)
}

/// The day a text begins with, `YYYY-MM-DD`.
pub(crate) fn day(text: &str) -> Option<String> {
    let day = text.get(..10)?;
    let shape = day.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    shape.then(|| day.to_owned())
}
