//! A client of servers that speak OpenAI's HTTP: one completion per request, repeated until it is there.
//!
//! What may be better next time is tried again, after a pause that doubles and is never shorter than the server's own
//! Retry-After: no connection, one that ended, a time-out, 408, 425, 429, every 5xx, an answer that is none. A 400, 413
//! or 422 is about this request and gives its sample up; every other 4xx is about all of them (a wrong key, model or
//! address) and ends the run.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{StatusCode, Url, redirect};
use serde_json::Value;

use assay_verifier::http::client::{causes, http_client};

use crate::cli::CliError;

/// The longest pause of ours, and the longest a server is obeyed.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);
/// The longest answer read.
const LONGEST_REPLY: usize = 64 << 20;

/// How patient to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// One request, from start to end.
    pub(super) timeout: Duration,
    /// Tries per sample.
    pub(super) tries: u32,
    /// The first pause.
    pub(super) pause: Duration,
    /// How long all requests may fail before a sample is given up after its third try.
    pub(super) outage: Duration,
}

pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    patience: Patience,
    /// Since when every request has failed.
    failing: Mutex<Option<Instant>>,
}

/// A completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) finish_reason: Option<String>,
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// May be better next time, and not before this long.
    Passing(String, Option<Duration>),
    /// This request was refused.
    Refused(String),
    /// All requests would be.
    Fatal(String),
}

impl Client {
    /// A client of the server at `base` (what comes before `/chat/completions`), with the token it wants, if any.
    pub(super) fn new(
        base: &str,
        path: &str,
        token: Option<&str>,
        patience: Patience,
    ) -> Result<Client, CliError> {
        let wrong = |why: &str| {
            CliError::usage(format!("--base-url {base}: {why}; give it as http://127.0.0.1:8000/v1"))
        };
        let url = Url::parse(&format!("{}/{path}", base.trim_end_matches('/')))
            .map_err(|error| wrong(&error.to_string()))?;
        let secure = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("neither http nor https")),
        };
        let mut headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value =
                value.map_err(|_| CliError::usage("the API key has characters that no key has"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = http_client(secure)
            .map_err(CliError::failure)?
            .default_headers(headers)
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10).min(patience.timeout))
            .timeout(patience.timeout);
        if url.host_str().is_some_and(|host| ["127.0.0.1", "localhost", "[::1]"].contains(&host)) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| CliError::failure(causes(&error)))?;
        Ok(Client { http, url, patience, failing: Mutex::new(None) })
    }

    /// The completion, or why it is not to be had. Never [`Failure::Passing`] before the patience is at its end.
    pub(super) async fn obtain(&self, body: &str) -> Result<Reply, Failure> {
        let mut tries = 0;
        loop {
            let result = self.once(body).await;
            tries += 1;
            let outage = self.outage(result.is_ok());
            match result {
                Err(Failure::Passing(what, after)) => {
                    if tries >= self.patience.tries || tries >= 3 && outage > self.patience.outage {
                        return Err(Failure::Passing(format!("{what} ({tries} tries)"), after));
                    }
                    tokio::time::sleep(pause(self.patience.pause, tries, after)).await;
                }
                other => return other,
            }
        }
    }

    /// How long nothing has succeeded.
    fn outage(&self, success: bool) -> Duration {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if success {
            *failing = None;
            return Duration::ZERO;
        }
        failing.get_or_insert_with(Instant::now).elapsed()
    }

    async fn once(&self, body: &str) -> Result<Reply, Failure> {
        let passing = |error: reqwest::Error| Failure::Passing(causes(&error), None);
        let mut response =
            self.http.post(self.url.clone()).body(body.to_owned()).send().await.map_err(passing)?;
        let (status, after) = (response.status(), retry_after(response.headers(), SystemTime::now()));
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(passing)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LONGEST_REPLY {
                return Err(Failure::Refused(format!("an answer of more than {LONGEST_REPLY} bytes")));
            }
        }
        match status.is_success() {
            true => reply(&bytes).map_err(|what| Failure::Passing(what, after)),
            false => Err(failure(status, &bytes, after)),
        }
    }
}

fn failure(status: StatusCode, body: &[u8], after: Option<Duration>) -> Failure {
    let text: String = String::from_utf8_lossy(&body[..body.len().min(300)])
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let what = format!("HTTP {status}: {}", text.trim());
    match status.as_u16() {
        408 | 425 | 429 => Failure::Passing(what, after),
        400 | 413 | 422 => Failure::Refused(what),
        300..500 => Failure::Fatal(what),
        _ => Failure::Passing(what, after),
    }
}

/// Retry-After in seconds, or until its date; a date that is past asks for nothing.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match httpdate::parse_http_date(text) {
        Ok(date) => date.duration_since(now).unwrap_or_default(),
        Err(_) => Duration::try_from_secs_f64(text.parse().ok()?).ok()?,
    };
    Some(after.min(LONGEST_RETRY_AFTER))
}

/// Doubles with each try and is cut by a random part, so that those refused together do not come back together.
fn pause(first: Duration, tries: u32, after: Option<Duration>) -> Duration {
    let doubled = first.saturating_mul(1 << (tries - 1).min(16)).min(LONGEST_PAUSE);
    let part = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    let own = doubled.mul_f64(0.5 + 0.5 * part);
    // A little after what the server asks for: everybody was told the same.
    after.map_or(own, |after| own.max(after + first.mul_f64(part)))
}

/// What a server says on success, in the chat form or the other.
fn reply(bytes: &[u8]) -> Result<Reply, String> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("an answer that is not JSON: {error}"))?;
    let choice = &value["choices"][0];
    let text = match (choice["text"].as_str(), &choice["message"]) {
        (Some(text), _) => text.to_owned(),
        (None, message) => chat_text(message).ok_or("an answer without choices[0] and its text")?,
    };
    let tokens = |name: &str| value["usage"][name].as_u64();
    Ok(Reply {
        text,
        finish_reason: choice["finish_reason"].as_str().map(str::to_owned),
        prompt_tokens: tokens("prompt_tokens"),
        completion_tokens: tokens("completion_tokens"),
    })
}

/// Servers that cut the reasoning off deliver it beside the answer; graders look for it before `</think>`.
fn chat_text(message: &Value) -> Option<String> {
    let part = |name: &str| message[name].as_str().filter(|text| !text.is_empty());
    let content = message.get("content")?;
    let content = content.as_str().or(content.is_null().then_some(""))?;
    Some(match part("reasoning_content").or(part("reasoning")) {
        Some(reasoning) => format!("<think>\n{reasoning}\n</think>\n{content}"),
        None => content.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_both_forms_are_read() {
        let reply = |text: &str| reply(text.as_bytes()).map(|reply| reply.text);
        let rows = [
            (r#"{"choices": [{"text": "a", "finish_reason": "stop"}]}"#, Some("a")),
            (r#"{"choices": [{"message": {"content": "a"}}]}"#, Some("a")),
            (r#"{"choices": [{"message": {"content": ""}}]}"#, Some("")),
            (
                r#"{"choices": [{"message": {"content": "a", "reasoning_content": "r"}}]}"#,
                Some("<think>\nr\n</think>\na"),
            ),
            (
                r#"{"choices": [{"message": {"content": null, "reasoning": "r"}}]}"#,
                Some("<think>\nr\n</think>\n"),
            ),
            (r#"{"choices": []}"#, None),
            (r#"{"choices": [{"message": {}}]}"#, None),
            (r#"{"choices": [{"message": {"content": 5}}]}"#, None),
            (r#"{"error": "busy"}"#, None),
            ("<html>", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(reply(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn failures_are_told_apart() {
        let kind = |code: u16| match failure(StatusCode::from_u16(code).expect("a code"), b"x\ny", None) {
            Failure::Passing(..) => "passing",
            Failure::Refused(_) => "refused",
            Failure::Fatal(_) => "fatal",
        };
        for (expected, codes) in [
            ("passing", &[408, 425, 429, 500, 502, 503, 504, 529][..]),
            ("refused", &[400, 413, 422]),
            ("fatal", &[301, 308, 401, 402, 403, 404, 405]),
        ] {
            for &code in codes {
                assert_eq!(kind(code), expected, "{code}");
            }
        }
    }

    #[test]
    fn pauses_grow_and_obey() {
        let second = Duration::from_secs(1);
        for (tries, least, most) in [(1, 500, 1000), (3, 2000, 4000), (30, 30_000, 60_000)] {
            let pause = pause(second, tries, None).as_millis();
            assert!((least..=most).contains(&pause), "{tries}: {pause} ms");
        }
        assert!(pause(second, 1, Some(Duration::from_secs(7))) >= Duration::from_secs(7));
    }

    #[test]
    fn servers_may_ask_for_a_pause_in_both_forms() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").expect("a date");
        let headers = |value| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        for (text, seconds) in [
            ("3", Some(3.0)),
            ("0.5", Some(0.5)),
            ("99999", Some(600.0)),
            ("-1", None),
            ("nan", None),
            ("soon", None),
            ("Wed, 21 Oct 2026 07:28:07 GMT", Some(7.0)),
            ("Wed, 21 Oct 2026 07:00:00 GMT", Some(0.0)),
            ("Fri, 21 Oct 2033 07:28:00 GMT", Some(600.0)),
            ("Wednesday, 21-Oct-26 07:28:07 GMT", Some(7.0)),
            ("Wed Oct 21 07:28:07 2026", Some(7.0)),
            ("Wed, 21 Oct 2026 07:28:07", None),
        ] {
            assert_eq!(retry_after(&headers(text), now).map(|d| d.as_secs_f64()), seconds, "{text}");
        }
    }
}
