//! Rows of (prompt, answer): how files of them are read, for SFT and for `assay-train data` alike.
//!
//! AceReason's SFT rows (category, source, input, output), chat messages that end in the assistant's answer, and a prompt
//! with a response under the usual names. A prompt is a conversation: mostly one message, but a system message and earlier turns
//! stay what they are, since a policy that is trained without them is trained on something else.

use std::collections::BTreeMap;
use std::path::Path;

use assay_testsets::{LoadError, Place, load_rows};
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde_json::Value;

use super::{DataError, walk};
use crate::chat::Message;
use crate::policy::Policy;
use crate::progress::Progress;
use crate::recipe::Sft;
use crate::tasks::{Family, Split};

/// A prompt with a completion to learn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What the policy is given: a conversation up to where it speaks.
    pub prompt: Vec<Message>,
    /// What it should write.
    pub output: String,
}

impl Row {
    /// A row of one question.
    pub fn new(prompt: &str, output: String) -> Row {
        Row { prompt: vec![Message::new("user", prompt)], output }
    }

    /// Reads a line of a file.
    fn read(text: &str) -> Result<Row, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let row = Row { prompt: prompt(&value)?, output: answer(&value)? };
        let empty = row.prompt.iter().all(|message| message.content.trim().is_empty());
        if empty { Err("the prompt is empty; give it a text, or remove the row".to_owned()) } else { Ok(row) }
    }

    /// Bytes of what is said in it.
    pub(crate) fn bytes(&self) -> usize {
        self.prompt.iter().map(|message| message.content.len()).sum::<usize>() + self.output.len()
    }
}

const PROMPTS: [&str; 5] = ["prompt", "input", "question", "problem", "question_content"];
const ANSWERS: [&str; 4] = ["output", "completion", "response", "solution"];
const MESSAGES: &str = "messages";

/// What is asked in a row: what stands under the first of [`PROMPTS`], a text or messages; or the messages of `messages`, up
/// to the assistant's last word, where the answer is that word or there is no other prompt.
pub(crate) fn prompt(value: &Value) -> Result<Vec<Message>, String> {
    let chat = field(value, &[MESSAGES]);
    let answered = field(value, &ANSWERS).is_none() && chat.is_some_and(|(_, list)| ends_in_answer(list));
    let (name, said) = chat.filter(|_| answered).or_else(|| field(value, &PROMPTS)).or(chat).ok_or(
        "no prompt: expected \"prompt\", \"input\", \"question\", \"problem\", \"question_content\" or \"messages\"",
    )?;
    let mut messages = conversation("prompt", name, said)?;
    if name == MESSAGES && ends_in_answer(said) {
        messages.pop();
    }
    Ok(messages)
}

/// What is answered in a row: what stands under the first of [`ANSWERS`], or the assistant's last word in `messages`.
pub(crate) fn answer(value: &Value) -> Result<String, String> {
    if let Some((name, said)) = field(value, &ANSWERS) {
        let whole = conversation("response", name, said)?;
        return match (said, &whole[..]) {
            (Value::String(text), _) => Ok(text.clone()),
            (_, [one]) if one.role == "assistant" => Ok(one.content.clone()),
            _ => Err(format!("no response in `{name}`: expected a text, or one message of the assistant")),
        };
    }
    let chat = field(value, &[MESSAGES]).filter(|(_, list)| ends_in_answer(list));
    let (name, said) = chat.ok_or(
        "no response: expected \"output\", \"completion\", \"response\", \"solution\" or \"messages\" that end with the \
         assistant's",
    )?;
    let last = conversation("response", name, said)?.pop();
    Ok(last.map(|message| message.content).unwrap_or_default())
}

/// All that is said in a conversation, in lines.
pub(crate) fn said(messages: &[Message]) -> String {
    let texts: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
    texts.join("\n")
}

/// The first of these that is there; `null` is not.
fn field<'v>(value: &'v Value, names: &[&'static str]) -> Option<(&'static str, &'v Value)> {
    names.iter().find_map(|name| Some((*name, value.get(*name).filter(|value| !value.is_null())?)))
}

fn ends_in_answer(messages: &Value) -> bool {
    let last = messages.as_array().and_then(|list| list.last());
    last.is_some_and(|last| last["role"] == "assistant")
}

/// A text, which a user says, or messages; `what` it should be is for the message.
fn conversation(what: &str, name: &str, value: &Value) -> Result<Vec<Message>, String> {
    let unfit = || {
        format!(
            "no {what} in `{name}`: expected a text, or messages as [{{\"role\": ..., \"content\": ...}}]"
        )
    };
    let message = |message: &Value| {
        let part = |key: &str| message.get(key).and_then(Value::as_str).ok_or_else(unfit);
        Ok(Message::new(part("role")?, part("content")?))
    };
    match value {
        Value::String(text) => Ok(vec![Message::new("user", text)]),
        Value::Array(messages) => messages.iter().map(message).collect(),
        _ => Err(unfit()),
    }
}

/// The texts of the rows that `read_rows` reads, each with its line, or with its own number where all stand in one.
pub(crate) fn texts(
    path: &Path,
) -> Result<impl Iterator<Item = Result<(usize, String), DataError>>, DataError> {
    let refused = |error: LoadError| DataError::Refused(error.to_string());
    let numbered = |(place, text): (Place, String)| (place.line.max(place.record) as usize, text);
    Ok(load_rows(path).map_err(refused)?.map(move |row| row.map(numbered).map_err(refused)))
}

/// Reads a file of rows: JSON Lines or one JSON array, plain or packed, or parquet where the build reads it.
pub fn read_rows(path: &Path) -> Result<Vec<Row>, DataError> {
    let row = |row: Result<(usize, String), DataError>| {
        let (line, text) = row?;
        Row::read(&text).map_err(|what| DataError::Line { path: path.to_owned(), line, what })
    };
    let rows: Vec<Row> = texts(path)?.map(row).collect::<Result<_, _>>()?;
    if rows.is_empty() { Err(DataError::Empty { path: path.to_owned() }) } else { Ok(rows) }
}

/// The rows of an SFT's file, all of which the policy can take in: longer ones are left out where the recipe says so, and
/// refused where it does not, before anything is spent on the others.
pub fn fitting_rows(sft: &Sft, policy: &Policy, progress: &Progress) -> Result<Option<Vec<Row>>, DataError> {
    let Some(path) = &sft.file else { return Ok(None) };
    let (mut rows, context) = (read_rows(path)?, policy.context());
    let counted: Vec<_> = rows.par_iter().map(|row| policy.row_tokens(row)).collect();
    let mut lengths = Vec::with_capacity(rows.len());
    for (index, tokens) in counted.into_iter().enumerate() {
        let what = |error| format!("{} row {}: {error}", path.display(), index + 1);
        lengths.push(tokens.map_err(|error| DataError::Refused(what(error)))?);
    }
    let most = sft.max_length.unwrap_or(usize::MAX);
    let too_long = |tokens: &usize| *tokens > context && *tokens <= most;
    let longest = lengths.iter().enumerate().filter(|(_, tokens)| too_long(tokens)).max_by_key(|row| row.1);
    if let Some((index, tokens)) = longest {
        let (count, all, row) = (lengths.iter().filter(|n| too_long(n)).count(), rows.len(), index + 1);
        return Err(DataError::Refused(format!(
            "{}: {count} of {all} rows do not fit: the longest, row {row}, has {tokens} tokens with its answer, and the \
             model's context is {context}; set sft.max_length = {context} to leave longer ones out, or raise \
             model.max_position_embeddings",
            path.display()
        )));
    }
    let all = rows.len();
    let mut length = lengths.iter();
    rows.retain(|_| length.next().is_some_and(|tokens| *tokens <= most));
    let (file, gone) = (path.display(), all - rows.len());
    match rows.is_empty() {
        true => {
            Err(DataError::Refused(format!("{file}: none of {all} rows is within sft.max_length, {most}")))
        }
        false => {
            if gone > 0 {
                progress.note(&format!(
                    "{file}: {gone} of {all} rows are longer than {most} tokens and left out"
                ));
            }
            Ok(Some(rows))
        }
    }
}

/// The rows of an SFT step drawn from the generated families, in random order.
pub fn family_rows(counts: &BTreeMap<String, usize>, rng: &mut ChaCha8Rng) -> Vec<Row> {
    let families = counts.iter().filter_map(|(name, count)| Some((Family::named(name)?, *count)));
    let mut rows: Vec<Row> = families
        .flat_map(|(family, count)| {
            let row = |_| {
                let question = family.question(Split::Train, rng);
                Row::new(&question.problem.prompt, question.completion)
            };
            (0..count).map(row).collect::<Vec<_>>()
        })
        .collect();
    rows.shuffle(rng);
    rows
}

/// The rows of SFT step `step` (from 0) from a file's rows: `count` of them, each epoch in a new order.
pub fn file_rows(rows: &[Row], count: usize, step: u64, seed: u64) -> Vec<Row> {
    let positions = step * count as u64..(step + 1) * count as u64;
    walk(rows.len(), positions, seed, "sft epoch").into_iter().map(|at| rows[at].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn every_epoch_sees_every_row_once() {
        let rows: Vec<Row> = (0..10).map(|i| Row::new(&i.to_string(), String::new())).collect();
        let mut seen: Vec<String> =
            (0..5).flat_map(|step| file_rows(&rows, 4, step, 1)).map(|row| said(&row.prompt)).collect();
        assert_ne!(seen[..10], seen[10..], "each epoch has its own order");
        seen.sort();
        let twice: Vec<String> = (0..10).flat_map(|i| [i.to_string(), i.to_string()]).collect();
        assert_eq!(seen, twice);
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
        for (text, words) in [
            (r#"{"input": " ", "output": "b"}"#, "the prompt is empty"),
            (r#"{"input": 3, "output": "b"}"#, "`input`: expected a text, or messages"),
            (r#"{"output": "b"}"#, "no prompt: expected"),
            (r#"{"messages": [{"role": "user", "content": "a"}]}"#, "no response: expected"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read_rows(&path).unwrap_err().to_string();
            assert!(error.contains("line 1") && error.contains(words), "{text}\n-> {error}");
        }
    }

    /// Shape by shape: the roles and words of the prompt, and the answer.
    #[test]
    fn each_shape_of_row_is_a_conversation_and_an_answer() {
        let chat = r#"{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]}"#;
        let long = ["system: s", "user: a", "assistant: b", "user: c"];
        let rows: [(&str, &[&str], &str); 8] = [
            (r#"{"category": "math", "source": "x", "input": "a", "output": "b"}"#, &["user: a"], "b"),
            (r#"{"prompt": "a", "completion": "b"}"#, &["user: a"], "b"),
            (r#"{"prompt": "a", "response": "b", "messages": null}"#, &["user: a"], "b"),
            (
                r#"{"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}"#,
                &["user: a"],
                "b",
            ),
            (chat, &long, "d"),
            // The first question alone is not what the last answer answers.
            (&chat.replacen('{', r#"{"prompt": "a", "#, 1), &long, "d"),
            (
                r#"{"problem": "a", "solution": "b", "messages": [{"role": "user", "content": "other"}]}"#,
                &["user: a"],
                "b",
            ),
            (r#"{"messages": [{"role": "user", "content": "a"}], "output": "b"}"#, &["user: a"], "b"),
        ];
        for (text, prompt, output) in rows {
            let row = Row::read(&text.replace('\n', " ")).unwrap();
            let said: Vec<String> =
                row.prompt.iter().map(|said| format!("{}: {}", said.role, said.content)).collect();
            assert_eq!(said, prompt, "{text}");
            assert_eq!(row.output, output, "{text}");
        }
    }

    /// A fresh model's tokens are mostly bytes, and one ends the text.
    #[test]
    fn rows_beyond_the_context_are_refused_or_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        let row = |n: usize| format!("{{\"input\": \"{}\", \"output\": \"z\"}}\n", "ab ".repeat(n));
        std::fs::write(&path, [3, 20, 5, 30].map(row).concat()).unwrap();
        let recipe = Recipe::parse(
            "r.toml",
            "[model]\nhidden_size = 16\nnum_hidden_layers = 1\nnum_attention_heads = 2\nnum_key_value_heads = 1\n\
             max_position_embeddings = 40\n[sft]\nfile = 'x'\nfile_rows = 1\nsteps = 1\nlearning_rate = 1e-3\n\
             [eval]\nmax_completion_length = 8\n",
        )
        .unwrap();
        let mut sft = Sft { file: Some(path), ..recipe.sft.clone().unwrap() };
        let policy = Policy::create(&recipe).unwrap();
        let error = fitting_rows(&sft, &policy, &Progress::quiet()).unwrap_err().to_string();
        assert!(error.contains("2 of 4 rows do not fit: the longest, row 4, has 92 tokens"), "{error}");
        assert!(error.contains("sft.max_length = 40"), "{error}");
        sft.max_length = Some(40);
        let rows = fitting_rows(&sft, &policy, &Progress::quiet()).unwrap().unwrap();
        assert_eq!(rows.iter().map(Row::bytes).collect::<Vec<_>>(), [10, 16]);
        // Where there is no template nothing says where a turn ends.
        let chat = r#"{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"}]}"#;
        std::fs::write(sft.file.as_ref().unwrap(), chat.replace('\n', " ")).unwrap();
        let error = fitting_rows(&sft, &policy, &Progress::quiet()).unwrap_err().to_string();
        assert!(error.contains("row 1: ") && error.contains("chat template"), "{error}");
    }
}
