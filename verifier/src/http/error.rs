//! Errors of the native API as RFC 9457 problem details, typed by whose fault they are. A verdict is never
//! an error, and an error is never a reward.

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HttpError {
    /// The body is not JSON at all.
    Malformed(String),
    /// No token, or a wrong one.
    Unauthorized,
    /// No such route.
    NotFound(String),
    /// The route exists under another method.
    MethodNotAllowed(Method),
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is longer than the service takes.
    TooLarge {
        /// Bytes it takes.
        limit: usize,
    },
    /// The content type says it is not JSON.
    NotJson(String),
    /// JSON, but not a request we understand; the text names the field.
    Invalid(String),
    /// We broke.
    Internal(String),
    /// No room in the queue.
    QueueFull,
    /// The service is shutting down.
    Draining,
    /// The deadline passed before a judge was free.
    DeadlinePassed,
}

impl HttpError {
    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            HttpError::Malformed(_) => StatusCode::BAD_REQUEST,
            HttpError::Unauthorized => StatusCode::UNAUTHORIZED,
            HttpError::NotFound(_) => StatusCode::NOT_FOUND,
            HttpError::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            HttpError::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            HttpError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            HttpError::NotJson(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            HttpError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            HttpError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            HttpError::QueueFull | HttpError::Draining => StatusCode::SERVICE_UNAVAILABLE,
            HttpError::DeadlinePassed => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The problem-details object.
    pub(crate) fn to_json(&self) -> Value {
        let (name, title) = self.kind();
        let status = self.status();
        json!({
            "type": format!("urn:assay:error:{name}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail(),
            "fault": if status.is_client_error() { "caller" } else { "service" },
        })
    }

    /// The sentence about this one.
    pub(crate) fn detail(&self) -> String {
        match self {
            HttpError::Malformed(text)
            | HttpError::NotJson(text)
            | HttpError::Invalid(text)
            | HttpError::Internal(text) => text.clone(),
            HttpError::Unauthorized => {
                "send `Authorization: Bearer TOKEN` with a token of the service".into()
            }
            HttpError::NotFound(path) => {
                format!("there is nothing at {path}; GET /v1/version lists the routes")
            }
            HttpError::MethodNotAllowed(method) => format!("this route does not take {method}"),
            HttpError::BodyTimeout => "the request body did not arrive within 60 seconds".into(),
            HttpError::TooLarge { limit } => {
                format!("the body is longer than {limit} bytes; send fewer items at once or raise `max_body`")
            }
            HttpError::QueueFull => "the queue is full; try again after the time in Retry-After".into(),
            HttpError::Draining => "the service is shutting down; try another one".into(),
            HttpError::DeadlinePassed => {
                "the deadline passed before a judge was free; nothing was run".into()
            }
        }
    }

    fn kind(&self) -> (&'static str, &'static str) {
        match self {
            HttpError::Malformed(_) => ("malformed-json", "The body is not JSON"),
            HttpError::Unauthorized => ("unauthorized", "A valid token is needed"),
            HttpError::NotFound(_) => ("not-found", "No such route"),
            HttpError::MethodNotAllowed(_) => ("method-not-allowed", "Wrong method"),
            HttpError::BodyTimeout => ("body-timeout", "The body came too slowly"),
            HttpError::TooLarge { .. } => ("body-too-large", "The body is too large"),
            HttpError::NotJson(_) => ("not-json", "The content type is not JSON"),
            HttpError::Invalid(_) => ("invalid-request", "The request is not understood"),
            HttpError::Internal(_) => ("internal", "The service failed"),
            HttpError::QueueFull => ("queue-full", "The queue is full"),
            HttpError::Draining => ("draining", "The service is shutting down"),
            HttpError::DeadlinePassed => ("deadline-passed", "The deadline passed in the queue"),
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json().to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(self, HttpError::QueueFull | HttpError::Draining) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self == HttpError::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
