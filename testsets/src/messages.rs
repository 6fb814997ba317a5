//! Prompts as conversations: `[{role, content}, ...]`, of which the last message is the question.

use crate::error::Misfit;
use crate::fields::{Fields, read};
use serde::{Deserialize, Deserializer};

/// What somebody said in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`, mostly; a user's where the file does not say.
    #[serde(default = "user")]
    pub role: String,
    /// What was said; nothing where it is `null`, as beside the call of a tool.
    #[serde(deserialize_with = "text_or_null")]
    pub content: String,
}

fn text_or_null<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

fn user() -> String {
    "user".to_owned()
}

/// A prompt: the question, and what was said before it.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) before: Vec<Message>,
    pub(crate) question: String,
}

/// Where open-instruct's rows, and those of many others, keep a conversation: with or without its answer.
pub(crate) const MESSAGES: &str = "messages";

/// The prompt under the first of these names that is there, a text or messages.
pub(crate) fn asked(fields: &Fields<'_>, names: &[&str]) -> Result<Asked, Misfit> {
    let Some((name, raw)) = fields.first(names) else { return Ok(Asked::default()) };
    if !raw.starts_with('[') {
        return Ok(Asked { before: Vec::new(), question: read(raw, name, "a string")? });
    }
    let messages = read::<Vec<Message>>(raw, name, "a list of messages {role, content}");
    let mut before = match messages {
        // Whoever judges an answer needs no prompt, and not every conversation under this name is one of texts.
        Err(_) if name == MESSAGES => Vec::new(),
        messages => messages?,
    };
    // The answer is no part of what is asked.
    if name == MESSAGES && before.last().is_some_and(|last| last.role == "assistant") {
        before.pop();
    }
    let question = before.pop().map(|last| last.content).unwrap_or_default();
    Ok(Asked { before, question })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_is_the_question_and_what_was_said_before_is_kept() {
        let rows: [(&str, &[&str], &str); 7] = [
            (r#"{"messages": [{"role": "user", "content": [{"type": "image"}]}]}"#, &[], ""),
            (r#"{"prompt": "q"}"#, &[], "q"),
            (r#"{"prompt": [{"content": "q"}]}"#, &[], "q"),
            (
                r#"{"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]}"#,
                &["system: s"],
                "q",
            ),
            // What the assistant began in a prompt is not its answer.
            (
                r#"{"prompt": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "So"}]}"#,
                &["user: q"],
                "So",
            ),
            (
                r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}"#,
                &[],
                "q",
            ),
            (r#"{"prompt": []}"#, &[], ""),
        ];
        for (row, before, question) in rows {
            let fields = Fields::parse(row.as_bytes(), "a row").expect("a row");
            let asked = asked(&fields, &["prompt", MESSAGES]).expect(row);
            let said: Vec<String> =
                asked.before.iter().map(|said| format!("{}: {}", said.role, said.content)).collect();
            assert_eq!(said, before, "{row}");
            assert_eq!(asked.question, question, "{row}");
        }
    }
}
