//! The build with traces.

use std::future::Future;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, Method, StatusCode};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{
    Span, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use super::Judged;
use crate::http::client;

/// How long the last spans may take on their way out when the service stops.
const LAST_WORDS: Duration = Duration::from_secs(5);

tokio::task_local! {
    /// The request that this task works for.
    static REQUEST: Context;
}

/// Makes spans, if there is a collector.
#[derive(Debug)]
pub(crate) struct Tracing(Option<(SdkTracerProvider, SdkTracer)>);

impl Tracing {
    /// Starts the exporter's thread. `collector` is an address as in `OTEL_EXPORTER_OTLP_ENDPOINT`; that it answers is not tried.
    pub(crate) fn start(collector: Option<&str>) -> Result<Tracing, String> {
        let Some(collector) = collector else { return Ok(Tracing(None)) };
        // Its client may not be made on a thread of the runtime.
        let exporter = std::thread::scope(|scope| scope.spawn(|| exporter(collector)).join());
        let exporter = exporter.map_err(|_| "the exporter of traces panicked".to_owned())??;
        let resource = Resource::builder()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_detector(Box::new(Named))
            .build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let tracer = provider.tracer("assay");
        Ok(Tracing(Some((provider, tracer))))
    }

    /// The span of a request; a `traceparent` among its headers makes it a part of that trace.
    pub(crate) fn request(&self, headers: &HeaderMap, method: &Method, route: &'static str) -> RequestSpan {
        let Some((_, tracer)) = &self.0 else { return RequestSpan(None) };
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        let span = SpanBuilder::from_name(format!("{method} {route}"))
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("http.request.method", method.to_string()),
                KeyValue::new("http.route", route),
            ]);
        let span = tracer.build_with_context(span, &parent);
        RequestSpan(Some(parent.with_span(span)))
    }

    /// The spans of an item that is done: they end now.
    pub(crate) fn judged(&self, item: &Judged) {
        let Some((_, tracer)) = &self.0 else { return };
        let Ok(parent) = REQUEST.try_with(Clone::clone) else { return };
        let end = SystemTime::now();
        let whole = item.queue + item.compile + item.run;
        let mut at = end.checked_sub(whole).unwrap_or(end);
        let attributes = [("kind", item.kind), ("outcome", item.outcome), ("verdict", item.verdict)];
        let attributes = attributes.into_iter().filter(|(_, value)| !value.is_empty());
        let item_span = SpanBuilder::from_name("item").with_start_time(at).with_attributes(
            attributes.map(|(key, value)| KeyValue::new(format!("assay.{key}"), value)).collect::<Vec<_>>(),
        );
        let context = parent.with_span(tracer.build_with_context(item_span, &parent));
        for (name, took) in [("queue", item.queue), ("compile", item.compile), ("run", item.run)] {
            if !took.is_zero() {
                let part = SpanBuilder::from_name(name).with_start_time(at);
                at += took;
                tracer.build_with_context(part, &context).end_with_timestamp(at);
            }
        }
        context.span().end_with_timestamp(end);
    }

    /// Sends what is left. It blocks, for a few seconds at most.
    pub(crate) fn stop(&self) {
        if let Some((provider, _)) = &self.0 {
            // What a collector that is gone does not take is lost.
            let _ = provider.shutdown_with_timeout(LAST_WORDS);
        }
    }
}

/// A request's span, if there is a collector.
#[derive(Debug)]
pub(crate) struct RequestSpan(Option<Context>);

impl RequestSpan {
    /// For the log: the trace that this request is part of.
    pub(crate) fn trace_id(&self) -> Option<String> {
        let context = self.0.as_ref()?.span().span_context().clone();
        context.is_valid().then(|| context.trace_id().to_string())
    }

    /// Works for the request.
    pub(crate) async fn around<F: Future>(&self, work: F) -> F::Output {
        match &self.0 {
            Some(context) => REQUEST.scope(context.clone(), work).await,
            None => work.await,
        }
    }

    /// The request is answered.
    pub(crate) fn end(self, status: StatusCode) {
        let Some(context) = self.0 else { return };
        let span = context.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if status.is_server_error() {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// A task of its own goes on working for the request that this one works for.
pub(crate) fn inherited<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let request = REQUEST.try_with(Clone::clone).ok();
    async move {
        match request {
            Some(request) => REQUEST.scope(request, work).await,
            None => work.await,
        }
    }
}

fn exporter(collector: &str) -> Result<SpanExporter, String> {
    client::take_ring();
    let transport = reqwest::blocking::Client::builder().build();
    let transport = transport.map_err(|error| client::causes(&error))?;
    SpanExporter::builder()
        .with_http()
        .with_http_client(transport)
        .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
        .build()
        .map_err(|error| format!("cannot send traces to {collector}: {}", client::causes(&error)))
}

/// The service's name, where `OTEL_SERVICE_NAME` gives none.
struct Named;

impl opentelemetry_sdk::resource::ResourceDetector for Named {
    fn detect(&self) -> Resource {
        let builder = Resource::builder_empty();
        match std::env::var_os("OTEL_SERVICE_NAME") {
            Some(_) => builder.build(),
            None => builder.with_service_name("assay").build(),
        }
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
