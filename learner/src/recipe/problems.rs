//! An entry of `[problems]`: a path, or a table that says more of the file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::{MOST_TOKENS, Range, out_of_range};

/// A file of problems.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Entry", into = "Entry")]
pub struct ProblemFile {
    /// Where it is.
    pub path: PathBuf,
    /// The column with the prompt, a text or messages, where it has a name of its own.
    pub prompt_key: Option<String>,
    /// The column with the right answer, where it has a name of its own; the rows are then math problems.
    pub label_key: Option<String>,
    /// Problems whose prompts have more tokens are left out.
    pub max_prompt_length: Option<usize>,
}

impl ProblemFile {
    /// What of it cannot be meant; `name` is its key.
    pub(super) fn mistake(&self, name: &str) -> Option<String> {
        let keys = [("prompt_key", &self.prompt_key), ("label_key", &self.label_key)];
        if let Some((key, _)) = keys.iter().find(|(_, column)| column.as_deref() == Some("")) {
            return Some(format!("problems.{name}.{key} is empty; name a column, or leave it out"));
        }
        let key = format!("problems.{name}.max_prompt_length");
        let most = self.max_prompt_length.unwrap_or(1) as f64;
        out_of_range(&[(&key, most, Range::From(1.0, MOST_TOKENS))])
    }
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected a path, or a table { path, prompt_key, label_key, max_prompt_length } of which only path is needed"
)]
enum Entry {
    Path(PathBuf),
    Table {
        path: PathBuf,
        #[serde(skip_serializing_if = "Option::is_none")]
        prompt_key: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        label_key: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max_prompt_length: Option<usize>,
    },
}

impl From<Entry> for ProblemFile {
    fn from(entry: Entry) -> ProblemFile {
        match entry {
            Entry::Path(path) => ProblemFile { path, ..ProblemFile::default() },
            Entry::Table { path, prompt_key, label_key, max_prompt_length } => {
                ProblemFile { path, prompt_key, label_key, max_prompt_length }
            }
        }
    }
}

impl From<ProblemFile> for Entry {
    fn from(file: ProblemFile) -> Entry {
        match file {
            ProblemFile { path, prompt_key: None, label_key: None, max_prompt_length: None } => {
                Entry::Path(path)
            }
            ProblemFile { path, prompt_key, label_key, max_prompt_length } => {
                Entry::Table { path, prompt_key, label_key, max_prompt_length }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::recipe::Recipe;

    #[test]
    fn an_entry_is_a_path_or_a_table_and_is_written_as_it_was_read() {
        let text = "[model]\n[problems]\na = 'a.jsonl'\nm = { path = 'm.jsonl', label_key = 'solution' }\nz = 'z.jsonl'\n";
        let recipe = Recipe::parse("r.toml", text).unwrap();
        assert_eq!(recipe.problems["a"].path.to_str(), Some("a.jsonl"));
        assert_eq!(recipe.problems["m"].label_key.as_deref(), Some("solution"));
        let written = toml::to_string(&recipe).unwrap();
        assert!(written.contains("a = \"a.jsonl\""), "{written}");
        assert_eq!(Recipe::parse("again.toml", &written).unwrap(), recipe);
    }

    #[test]
    fn what_is_wrong_with_an_entry_is_said() {
        let rows = [
            (
                "m = { path = 'm.jsonl', input_key = 'q' }",
                "{ path, prompt_key, label_key, max_prompt_length }",
            ),
            ("m = 3", "expected a path, or a table"),
            ("m = { prompt_key = 'q' }", "of which only path is needed"),
            (
                "m = { path = 'm.jsonl', max_prompt_length = 0 }",
                "problems.m.max_prompt_length must be from 1 to 131072, not 0",
            ),
            ("m = { path = 'm.jsonl', label_key = '' }", "problems.m.label_key is empty"),
        ];
        for (line, words) in rows {
            let text = format!("[model]\n[problems]\n{line}\n");
            let error = Recipe::parse("r.toml", &text).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains('\n'), "{line}\n-> {error}");
        }
    }
}
