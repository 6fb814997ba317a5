//! Errors of the native API as RFC 9457 problem details, typed by whose fault they are. A verdict is never
//! an error, and an error is never a reward.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::json_response;
use crate::wire::sandbox_fusion::{detail, validation_detail};

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HttpError {
    /// The body is not JSON at all.
    Malformed(String),
    /// No token, or a wrong one.
    Unauthorized,
    /// No certificate of the client's, where one is needed.
    NoCertificate,
    /// No such route.
    NotFound(String),
    /// The route exists under another method.
    MethodNotAllowed(Method),
    /// The body did not arrive in time.
    BodyTimeout(Duration),
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
    /// No room for more problems.
    StoreFull {
        /// Bytes of all that are kept.
        limit: u64,
    },
    /// No room in the queue.
    QueueFull,
    /// No room for the body beside those of other requests.
    BodiesFull {
        /// Bytes of all together.
        limit: usize,
    },
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
            HttpError::NoCertificate => StatusCode::FORBIDDEN,
            HttpError::NotFound(_) => StatusCode::NOT_FOUND,
            HttpError::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            HttpError::BodyTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            HttpError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            HttpError::NotJson(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            HttpError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            HttpError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            HttpError::StoreFull { .. } => StatusCode::INSUFFICIENT_STORAGE,
            HttpError::QueueFull | HttpError::BodiesFull { .. } | HttpError::Draining => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            HttpError::DeadlinePassed => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The HTTP status on a drop-in route: never 429 or 503, since for load and for shutting down 504 is the one its
    /// best-known client tries again after.
    pub(crate) fn patient_status(&self) -> StatusCode {
        match self {
            HttpError::QueueFull | HttpError::BodiesFull { .. } | HttpError::Draining => {
                StatusCode::GATEWAY_TIMEOUT
            }
            error => error.status(),
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
            HttpError::NoCertificate => {
                "this service wants a client's certificate, signed by the authority it knows".into()
            }
            HttpError::NotFound(path) => {
                format!("there is nothing at {path}; GET /v1/version lists the routes")
            }
            HttpError::MethodNotAllowed(method) => format!("this route does not take {method}"),
            HttpError::BodyTimeout(time) => {
                format!("the request body did not arrive within {} seconds", time.as_secs_f64())
            }
            HttpError::TooLarge { limit } => {
                format!("the body is longer than {limit} bytes; send fewer items at once or raise `max_body`")
            }
            HttpError::StoreFull { limit } => {
                format!(
                    "the stored problems would have more than {limit} bytes; remove some or raise `problems-size`"
                )
            }
            HttpError::QueueFull => "the queue is full; try again after the time in Retry-After".into(),
            HttpError::BodiesFull { limit } => {
                format!(
                    "the requests being answered leave no room for this body: all may have {limit} bytes together \
                     (`max-bodies`); try again after the time in Retry-After"
                )
            }
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
            HttpError::NoCertificate => ("no-certificate", "A client's certificate is needed"),
            HttpError::NotFound(_) => ("not-found", "No such route"),
            HttpError::MethodNotAllowed(_) => ("method-not-allowed", "Wrong method"),
            HttpError::BodyTimeout(_) => ("body-timeout", "The body came too slowly"),
            HttpError::TooLarge { .. } => ("body-too-large", "The body is too large"),
            HttpError::NotJson(_) => ("not-json", "The content type is not JSON"),
            HttpError::Invalid(_) => ("invalid-request", "The request is not understood"),
            HttpError::Internal(_) => ("internal", "The service failed"),
            HttpError::StoreFull { .. } => ("store-full", "There is no room for more problems"),
            HttpError::QueueFull => ("queue-full", "The queue is full"),
            HttpError::BodiesFull { .. } => ("bodies-full", "There is no room for the body now"),
            HttpError::Draining => ("draining", "The service is shutting down"),
            HttpError::DeadlinePassed => ("deadline-passed", "The deadline passed in the queue"),
        }
    }
}

/// In whose form a route's errors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// RFC 9457's, the native API's.
    Native,
    /// `{"detail": ..}`, FastAPI's: a list for 422, a sentence else.
    Detail,
    /// `{"message": ..}`, Piston's.
    Message,
    /// `{"error": ..}`, Flask's and Judge0's.
    Error,
    /// A sentence, for people with a browser.
    Page,
}

impl Form {
    /// The error in that form. On all but the native API never 429 or 503.
    pub(crate) fn refuse(self, error: &HttpError) -> Response {
        let body = match (self, error) {
            (Form::Native, error) => return error.clone().into_response(),
            (Form::Page, error) => return page(error),
            (Form::Detail, HttpError::Malformed(text) | HttpError::Invalid(text)) => {
                return json_response(StatusCode::UNPROCESSABLE_ENTITY, &validation_detail(None, text));
            }
            (Form::Detail, error) => detail(&error.detail()),
            (Form::Message, error) => json!({ "message": error.detail() }),
            (Form::Error, error) => json!({ "error": error.detail() }),
        };
        json_response(error.patient_status(), &body)
    }
}

/// A browser without a token is made to ask for one.
fn page(error: &HttpError) -> Response {
    let mut response = (error.status(), format!("{}\n", error.detail())).into_response();
    if *error == HttpError::Unauthorized {
        *response.body_mut() =
            Body::from("The password is a token of this service; any user name will do.\n");
        let challenge =
            HeaderValue::from_static("Basic realm=\"assay: a token as the password\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json().to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self == HttpError::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
