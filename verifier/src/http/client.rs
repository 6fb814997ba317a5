//! What our two clients of HTTP servers, `assay bench` and the trainer's, have in common.

use std::error::Error;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A client's settings, to be completed. With `secure` it speaks TLS, by rustls, to servers whose certificates this machine
/// trusts (its own store, or `SSL_CERT_FILE` and `SSL_CERT_DIR`); without, to no `https` address, and a machine without
/// certificates is no error.
///
/// # Errors
/// None that this machine could cause: what rustls says if its own cipher suites do not fit its own versions of TLS.
pub fn http_client(secure: bool) -> Result<reqwest::ClientBuilder, String> {
    let builder = reqwest::Client::builder();
    if secure {
        take_ring();
        return Ok(builder);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(builder.tls_backend_preconfigured(config))
}

/// Has every client of this process use ring; who comes second finds the same.
pub(crate) fn take_ring() {
    let _ = ring::default_provider().install_default();
}

/// An error with what caused it, in one line: reqwest's own text names only the URL.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chain is what tells a refused connection from a wrong name.
    #[test]
    fn every_cause_is_told() {
        let error = std::io::Error::other(std::io::Error::other("inner"));
        assert_eq!(causes(&error), "inner");
        let parsed = "x".parse::<u8>().expect_err("no number");
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::num::ParseIntError);
        assert_eq!(causes(&Outer(parsed)), "outer: invalid digit found in string");
    }

    #[test]
    fn both_clients_can_be_built() {
        for secure in [false, true] {
            http_client(secure).expect("settings").no_proxy().build().expect("a client");
        }
    }
}
