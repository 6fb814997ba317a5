//! Requests as OpenAI's API has them, read and checked: what is not computed here is refused by name, not ignored.

use serde::Deserialize;
use serde_json::Value;

use super::answer::Refusal;
use crate::chat::Message;
use crate::recipe::check::temperature_mistake;
use crate::sampler::Filters;

/// Most completions of a prompt.
const MOST_CHOICES: usize = 128;
/// Most prompts of a request.
const MOST_PROMPTS: usize = 1024;
/// Most tokens named beside the one drawn.
const MOST_BEST: usize = 20;
/// Most stop strings.
const MOST_STOPS: usize = 16;

/// What both kinds of requests have.
#[derive(Debug, Deserialize)]
struct Common {
    model: Option<String>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    min_p: Option<f64>,
    n: Option<usize>,
    stop: Option<OneOrMany>,
    seed: Option<i64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// A prompt of `/v1/completions`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of token ids")]
pub(super) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "prompt: expected a text, a list of token ids, or a list of either")]
enum Prompts {
    One(String),
    Tokens(Vec<u32>),
    Many(Vec<Prompt>),
}

#[derive(Debug, Deserialize)]
struct CompletionFields {
    prompt: Prompts,
    logprobs: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct ChatFields {
    messages: Vec<ChatMessage>,
    logprobs: Option<bool>,
    top_logprobs: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct ChatMessage {
    role: String,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "content: expected a text or a list of parts")]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    Prompts(Vec<Prompt>),
    Chat(Vec<Message>),
}

/// A request that makes sense.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) asked: Asked,
    pub(super) model: Option<String>,
    /// None: as many as the context holds.
    pub(super) max_tokens: Option<usize>,
    /// 0 is greedy.
    pub(super) temperature: f64,
    pub(super) filters: Filters,
    pub(super) choices: usize,
    pub(super) stop: Vec<String>,
    pub(super) seed: Option<u64>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// Log-probabilities are asked for, with so many of the most probable tokens.
    pub(super) logprobs: Option<usize>,
}

/// Whether a field's value asks for nothing.
type Harmless = fn(&Value) -> bool;

/// Fields that would change the answer and are not computed here, with the values that ask for nothing.
const NOT_COMPUTED: [(&str, Harmless); 16] = [
    ("echo", is_false),
    ("suffix", is_empty),
    ("best_of", |value| value.as_u64() == Some(1)),
    ("presence_penalty", is_zero),
    ("frequency_penalty", is_zero),
    ("repetition_penalty", |value| value.as_f64() == Some(1.0)),
    ("logit_bias", is_empty),
    ("tools", is_empty),
    ("tool_choice", |value| value == "none" || value == "auto"),
    ("functions", is_empty),
    ("response_format", |value| value["type"] == "text"),
    ("prompt_logprobs", |_| false),
    ("use_beam_search", is_false),
    ("min_tokens", is_zero),
    ("ignore_eos", is_false),
    ("guided_json", |_| false),
];

fn is_false(value: &Value) -> bool {
    *value == Value::Bool(false)
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

impl Request {
    /// Reads the body of `/v1/completions`.
    pub(super) fn completion(body: &[u8]) -> Result<Request, Refusal> {
        let value = json(body)?;
        let fields: CompletionFields = fields(&value)?;
        let prompts = match fields.prompt {
            Prompts::One(text) => vec![Prompt::Text(text)],
            Prompts::Tokens(ids) if ids.is_empty() => Vec::new(),
            Prompts::Tokens(ids) => vec![Prompt::Tokens(ids)],
            Prompts::Many(many) => many,
        };
        if prompts.is_empty() || prompts.len() > MOST_PROMPTS {
            return Err(Refusal::of(
                "prompt",
                format!("expected 1 to {MOST_PROMPTS} prompts, not {}", prompts.len()),
            ));
        }
        // OpenAI's own default, which tools that give none expect.
        Request::of(&value, Asked::Prompts(prompts), Some(16), fields.logprobs)
    }

    /// Reads the body of `/v1/chat/completions`.
    pub(super) fn chat(body: &[u8]) -> Result<Request, Refusal> {
        let value = json(body)?;
        let ChatFields { messages, logprobs, top_logprobs } = fields(&value)?;
        if messages.is_empty() {
            return Err(Refusal::of("messages", "expected at least one message"));
        }
        let messages = messages.into_iter().map(ChatMessage::text).collect::<Result<_, _>>()?;
        let logprobs = match (logprobs.unwrap_or(false), top_logprobs) {
            (true, best) => Some(best.unwrap_or(0)),
            (false, None | Some(0)) => None,
            (false, Some(_)) => return Err(Refusal::of("top_logprobs", "it needs logprobs: true")),
        };
        Request::of(&value, Asked::Chat(messages), None, logprobs)
    }

    fn of(
        value: &Value,
        asked: Asked,
        max_tokens: Option<usize>,
        logprobs: Option<usize>,
    ) -> Result<Request, Refusal> {
        for (name, harmless) in NOT_COMPUTED {
            if value.get(name).is_some_and(|value| !value.is_null() && !harmless(value)) {
                return Err(Refusal::of(name, "this server does not compute it; leave it out"));
            }
        }
        let common: Common = fields(value)?;
        let given = common.max_completion_tokens.or(common.max_tokens).map(|most| most as usize);
        let stop = match common.stop {
            None => Vec::new(),
            Some(OneOrMany::One(text)) => vec![text],
            Some(OneOrMany::Many(texts)) => texts,
        };
        let request = Request {
            asked,
            model: common.model,
            max_tokens: given.or(max_tokens),
            temperature: common.temperature.unwrap_or(1.0),
            filters: Filters {
                // -1 is vLLM's word for no limit.
                top_k: usize::try_from(common.top_k.unwrap_or(0)).unwrap_or(0),
                top_p: common.top_p.unwrap_or(1.0) as f32,
                min_p: common.min_p.unwrap_or(0.0) as f32,
            },
            choices: common.n.unwrap_or(1),
            stop,
            seed: common.seed.map(i64::cast_unsigned),
            stream: common.stream.unwrap_or(false),
            include_usage: common.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
            logprobs,
        };
        request.mistake().map_or(Ok(request), Err)
    }

    fn mistake(&self) -> Option<Refusal> {
        let share = |value: f32| (0.0..=1.0).contains(&value);
        let rows = [
            (self.max_tokens == Some(0), "max_tokens", "it must be at least 1".to_owned()),
            (
                !(1..=MOST_CHOICES).contains(&self.choices),
                "n",
                format!("it must be from 1 to {MOST_CHOICES}, not {}", self.choices),
            ),
            (
                !share(self.filters.top_p),
                "top_p",
                format!("it must be from 0 to 1, not {}", self.filters.top_p),
            ),
            (
                !share(self.filters.min_p),
                "min_p",
                format!("it must be from 0 to 1, not {}", self.filters.min_p),
            ),
            (self.stop.len() > MOST_STOPS, "stop", format!("it may be at most {MOST_STOPS} texts")),
            (
                self.stop.iter().any(String::is_empty),
                "stop",
                "an empty text would stop everything".to_owned(),
            ),
            (
                self.logprobs.is_some_and(|best| best > MOST_BEST),
                "logprobs",
                format!("at most the {MOST_BEST} most probable tokens are named"),
            ),
        ];
        let first =
            rows.into_iter().find(|(wrong, ..)| *wrong).map(|(_, name, what)| Refusal::of(name, what));
        first.or_else(|| {
            temperature_mistake("it", self.temperature).map(|what| Refusal::of("temperature", what))
        })
    }
}

impl ChatMessage {
    fn text(self) -> Result<Message, Refusal> {
        let content = match self.content {
            None => String::new(),
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => {
                if let Some(part) = parts.iter().find(|part| part.kind != "text") {
                    let what = format!("a part is of type {:?}; this server reads text only", part.kind);
                    return Err(Refusal::of("messages", what));
                }
                parts.into_iter().filter_map(|part| part.text).collect::<Vec<_>>().join("\n")
            }
        };
        Ok(Message { role: self.role, content })
    }
}

fn json(body: &[u8]) -> Result<Value, Refusal> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| Refusal::whole(format!("expected JSON: {error}")))?;
    match value.is_object() {
        true => Ok(value),
        false => Err(Refusal::whole("expected a JSON object".to_owned())),
    }
}

fn fields<'v, T: Deserialize<'v>>(value: &'v Value) -> Result<T, Refusal> {
    T::deserialize(value).map_err(|error| Refusal::whole(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_are_read_as_they_are_meant() {
        let read = |value: Value| Request::completion(value.to_string().as_bytes()).unwrap();
        let text = |text: &str| Prompt::Text(text.to_owned());
        for (prompt, expected) in [
            (json!("a"), vec![text("a")]),
            (json!(["a", "b"]), vec![text("a"), text("b")]),
            (json!([1, 2]), vec![Prompt::Tokens(vec![1, 2])]),
            (json!([[1, 2], [3]]), vec![Prompt::Tokens(vec![1, 2]), Prompt::Tokens(vec![3])]),
        ] {
            assert_eq!(read(json!({ "prompt": prompt })).asked, Asked::Prompts(expected));
        }
        let plain =
            read(json!({"prompt": "a", "echo": false, "logit_bias": null, "user": "x", "best_of": 1}));
        assert_eq!((plain.max_tokens, plain.temperature, plain.choices), (Some(16), 1.0, 1));
        assert_eq!((plain.seed, plain.stream, plain.logprobs), (None, false, None));
        let full = read(
            json!({"prompt": "a", "max_tokens": 5, "temperature": 0, "top_p": 0.9, "top_k": -1, "n": 3,
            "stop": "x", "seed": -1, "stream": true, "stream_options": {"include_usage": true}, "logprobs": 2}),
        );
        assert_eq!((full.max_tokens, full.temperature, full.choices), (Some(5), 0.0, 3));
        assert_eq!((full.filters.top_k, full.filters.top_p), (0, 0.9));
        assert_eq!((full.stop, full.seed, full.logprobs), (vec!["x".to_owned()], Some(u64::MAX), Some(2)));
        assert!(full.stream && full.include_usage);

        let chat = json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content":
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], "max_completion_tokens": 7});
        let chat = Request::chat(chat.to_string().as_bytes()).unwrap();
        assert_eq!(chat.asked, Asked::Chat(vec![Message::new("system", "s"), Message::new("user", "a\nb")]));
        assert_eq!(chat.max_tokens, Some(7));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_field() {
        let rows = [
            (json!({}), "", "prompt"),
            (json!({"prompt": 3}), "", "prompt: expected a text, a list of token ids"),
            (json!({"prompt": []}), "prompt", "expected 1 to 1024 prompts"),
            (json!({"prompt": "a", "n": 0}), "n", "from 1 to 128"),
            (json!({"prompt": "a", "n": 1e9}), "", "invalid type"),
            (json!({"prompt": "a", "max_tokens": 0}), "max_tokens", "at least 1"),
            (json!({"prompt": "a", "temperature": -1}), "temperature", "not -1"),
            (json!({"prompt": "a", "temperature": "hot"}), "", "invalid type"),
            (json!({"prompt": "a", "top_p": 2}), "top_p", "from 0 to 1"),
            (json!({"prompt": "a", "stop": ["", "x"]}), "stop", "empty"),
            (json!({"prompt": "a", "logprobs": 21}), "logprobs", "at most the 20"),
            (json!({"prompt": "a", "echo": true}), "echo", "does not compute"),
            (json!({"prompt": "a", "presence_penalty": 0.5}), "presence_penalty", "does not compute"),
            (json!({"prompt": "a", "tools": [{}]}), "tools", "does not compute"),
            (
                json!({"prompt": "a", "response_format": {"type": "json_object"}}),
                "response_format",
                "does not",
            ),
            (json!([1]), "", "expected a JSON object"),
        ];
        for (value, field, says) in rows {
            let refusal = Request::completion(value.to_string().as_bytes()).unwrap_err();
            assert!(refusal.message.contains(says), "{value}: {}", refusal.message);
            assert_eq!(refusal.param.unwrap_or(""), field, "{value}");
        }
        assert!(Request::completion(b"{\"prompt\": ").unwrap_err().message.contains("expected JSON"));
        let image = json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]});
        assert!(Request::chat(image.to_string().as_bytes()).unwrap_err().message.contains("image_url"));
        let top = json!({"messages": [{"role": "user", "content": "a"}], "top_logprobs": 2});
        assert_eq!(Request::chat(top.to_string().as_bytes()).unwrap_err().param, Some("top_logprobs"));
    }
}
