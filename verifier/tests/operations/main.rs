//! What whoever runs the service sees of it: pages, the API's description, TLS, settings and their reload, the files of a
//! deployment.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "../common/service.rs"]
mod service;

mod deploy;
mod live;
mod openapi;
mod settings;
mod tls;
