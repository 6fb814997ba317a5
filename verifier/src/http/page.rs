//! Pages for people: one document each, with its style and its script inside, so that it works without a network.
//!
//! A page is a constant. What it shows comes as JSON and is put into the document as text, never as markup; the policy sent
//! with it names the one style and the one script by their hashes, and lets it ask nobody but this service.
//!
//! A browser cannot be told to send a bearer token. So pages, and what they ask for, take the token as the password of
//! HTTP's Basic scheme as well, which every browser asks its user for. Nothing else does, so no other site can make a
//! browser that knows the token grade anything.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

/// The look of the reports, for these pages too.
const STYLE: &str = include_str!("../report/html/style.css");

static LIVE: LazyLock<Page> = LazyLock::new(|| {
    Page::new(include_str!("page/live.html"), include_str!("page/page.css"), include_str!("page/live.js"))
});

static DOCS: LazyLock<Page> = LazyLock::new(|| {
    Page::new(include_str!("page/docs.html"), include_str!("page/page.css"), include_str!("page/docs.js"))
});

/// `GET /live`.
pub(super) async fn live() -> Response {
    LIVE.response()
}

/// `GET /docs`.
pub(super) async fn docs() -> Response {
    DOCS.response()
}

/// A whole document.
#[derive(Debug)]
pub struct Page {
    html: Bytes,
    policy: String,
}

impl Page {
    /// Puts the reports' style with `style`, and `script`, where the template says `{{style}}` and `{{script}}`.
    pub fn new(template: &str, style: &str, script: &str) -> Page {
        let style = format!("{STYLE}\n{style}");
        let hash = |text: &str| BASE64.encode(Sha256::digest(text));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'self'",
            hash(&style),
            hash(script),
        );
        let html = template.replace("{{style}}", &style).replace("{{script}}", script);
        Page { html: html.into(), policy }
    }

    /// The document with the headers that keep it to itself.
    pub fn response(&self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, &self.policy),
            (header::CACHE_CONTROL, "no-cache"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (headers, self.html.clone()).into_response()
    }
}

/// The password in Basic credentials.
pub(super) fn password(credentials: &str) -> Option<String> {
    let text = String::from_utf8(BASE64.decode(credentials.trim()).ok()?).ok()?;
    text.split_once(':').map(|(_user, password)| password.to_owned())
}
