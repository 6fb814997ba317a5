//! Answers as OpenAI's API has them: objects, chunks of a stream, log-probabilities, errors.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::policy::Writer;
use crate::rollout::FinishReason;
use crate::sampler::scheduler::Drawn;

/// An error in OpenAI's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    kind: &'static str,
    pub(super) param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Refusal {
    /// One field of the request is wrong.
    pub(super) fn of(param: &'static str, what: impl Into<String>) -> Refusal {
        let message = format!("{param}: {}", what.into());
        Refusal { param: Some(param), ..Refusal::whole(message) }
    }

    /// The request is wrong.
    pub(super) fn whole(message: String) -> Refusal {
        let (status, kind) = (StatusCode::BAD_REQUEST, "invalid_request_error");
        Refusal { status, message, kind, param: None, code: None }
    }

    pub(super) fn with(self, status: StatusCode, code: &'static str) -> Refusal {
        Refusal { status, code: Some(code), ..self }
    }

    /// Ours to answer for.
    pub(super) fn ours(status: StatusCode, message: String) -> Refusal {
        Refusal { status, message, kind: "server_error", param: None, code: None }
    }

    fn to_json(&self) -> Value {
        let Refusal { message, kind, param, code, .. } = self;
        json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
    }

    /// As an event of a stream that has begun.
    pub(super) fn event(&self) -> String {
        event(&self.to_json())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status, &self.to_json());
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

pub(super) fn json_response(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// One server-sent event.
pub(super) fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// What ends a stream.
pub(super) const DONE: &str = "data: [DONE]\n\n";

/// Which of the two APIs was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Completion,
    Chat,
}

/// What every object of one answer has.
#[derive(Debug, Clone)]
pub(super) struct Form {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    /// Whether log-probabilities are asked for.
    pub(super) logprobs: bool,
}

/// Tokens of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) prompt: usize,
    pub(super) completion: usize,
}

impl Usage {
    fn to_json(self) -> Value {
        let Usage { prompt, completion } = self;
        json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
    }
}

fn reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    }
}

impl Form {
    /// A whole answer.
    pub(super) fn whole(&self, choices: &[Value], usage: Usage) -> Value {
        let object = if self.kind == Kind::Chat { "chat.completion" } else { "text_completion" };
        let mut value = self.object(object, choices);
        value["usage"] = usage.to_json();
        value
    }

    /// A choice of a whole answer.
    pub(super) fn choice(&self, index: usize, text: &str, logprobs: &Value, finish: FinishReason) -> Value {
        let finish = reason(finish);
        match self.kind {
            Kind::Completion => {
                json!({ "index": index, "text": text, "logprobs": logprobs, "finish_reason": finish })
            }
            Kind::Chat => json!({ "index": index, "logprobs": logprobs, "finish_reason": finish,
                "message": { "role": "assistant", "content": text, "refusal": null } }),
        }
    }

    /// A chunk that says who speaks, where the API has one.
    pub(super) fn opening(&self, index: usize) -> Option<String> {
        let delta = json!({ "role": "assistant", "content": "" });
        (self.kind == Kind::Chat).then(|| self.chunk(index, delta, Value::Null, None))
    }

    /// A chunk with the next piece of a choice's text.
    pub(super) fn piece(&self, index: usize, text: &str, logprobs: Value) -> String {
        match self.kind {
            Kind::Completion => self.chunk(index, Value::from(text), logprobs, None),
            Kind::Chat => self.chunk(index, json!({ "content": text }), logprobs, None),
        }
    }

    /// The last chunk of a choice.
    pub(super) fn closing(&self, index: usize, finish: FinishReason) -> String {
        let nothing = if self.kind == Kind::Chat { json!({}) } else { json!("") };
        self.chunk(index, nothing, Value::Null, Some(reason(finish)))
    }

    /// The chunk after all choices, where it is asked for.
    pub(super) fn usage(&self, usage: Usage) -> String {
        let mut value = self.object(self.chunk_object(), &[]);
        value["usage"] = usage.to_json();
        event(&value)
    }

    fn chunk(&self, index: usize, delta: Value, logprobs: Value, finish: Option<&str>) -> String {
        let key = if self.kind == Kind::Chat { "delta" } else { "text" };
        let choice = json!({ "index": index, key: delta, "logprobs": logprobs, "finish_reason": finish });
        event(&self.object(self.chunk_object(), &[choice]))
    }

    fn chunk_object(&self) -> &'static str {
        if self.kind == Kind::Chat { "chat.completion.chunk" } else { "text_completion" }
    }

    fn object(&self, object: &str, choices: &[Value]) -> Value {
        let Form { id, created, model, .. } = self;
        json!({ "id": id, "object": object, "created": created, "model": model, "choices": choices })
    }

    /// The log-probabilities of tokens in the API's form; null where they are not asked for. `offset` is where their text
    /// begins, in characters.
    pub(super) fn logprobs(&self, weights: &Writer, tokens: &[Drawn], offset: usize) -> Value {
        if !self.logprobs {
            return Value::Null;
        }
        let text = |id: u32| weights.tokenizer.decode(&[id], false).unwrap_or_default();
        match self.kind {
            Kind::Chat => {
                let one = |id: u32, logprob: f32| {
                    let text = text(id);
                    // Part of a character has no text, and its bytes are not known from it.
                    let bytes = (!text.contains(char::REPLACEMENT_CHARACTER)).then_some(text.as_bytes());
                    json!({ "token": text, "logprob": logprob, "bytes": bytes })
                };
                let token = |drawn: &Drawn| {
                    let mut value = one(drawn.id, drawn.logprob);
                    value["top_logprobs"] =
                        drawn.best.iter().map(|&(id, logprob)| one(id, logprob)).collect();
                    value
                };
                json!({ "content": tokens.iter().map(token).collect::<Vec<_>>(), "refusal": null })
            }
            Kind::Completion => {
                let texts: Vec<String> = tokens.iter().map(|drawn| text(drawn.id)).collect();
                let best = |drawn: &Drawn| -> Value {
                    drawn.best.iter().map(|&(id, logprob)| (text(id), Value::from(logprob))).collect()
                };
                let mut offsets = vec![offset];
                for text in &texts {
                    offsets.push(offsets[offsets.len() - 1] + text.chars().count());
                }
                offsets.pop();
                json!({
                    "tokens": texts,
                    "token_logprobs": tokens.iter().map(|drawn| drawn.logprob).collect::<Vec<_>>(),
                    "top_logprobs": tokens.iter().map(best).collect::<Vec<_>>(),
                    "text_offset": offsets,
                })
            }
        }
    }
}
