//! Traces: where a request's time went, sent to a collector by OTLP over HTTP (feature `otlp`, off unless `--otlp` says where).
//!
//! One span per request, which goes on with the trace of its `traceparent`, and below it one per judged item with its parts:
//! waiting, compiling, running. Parts are known when an item is done, so their spans are made then, with the times they had. No
//! span holds a completion, a test or a token.
//!
//! The exporter's queue is bounded and a collector that is down loses spans, never requests. What the standard's variables
//! (`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS`, ..) say holds here as well.

#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
mod silent;

#[cfg(feature = "otlp")]
pub(super) use otlp::{Tracing, inherited};
#[cfg(not(feature = "otlp"))]
pub(super) use silent::{Tracing, inherited};

use std::time::Duration;

/// What is told of an item that a judge is done with.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "nobody reads it where nobody is told"))]
pub(super) struct Judged {
    /// `code` or `math`, where that is known.
    pub(super) kind: &'static str,
    /// `graded`, or why not.
    pub(super) outcome: &'static str,
    /// The verdict's name, if there is one.
    pub(super) verdict: &'static str,
    /// In line.
    pub(super) queue: Duration,
    /// Making the program.
    pub(super) compile: Duration,
    /// Everything else.
    pub(super) run: Duration,
}
