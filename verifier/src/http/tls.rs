//! TLS: reading a certificate, its key and the authority of clients' certificates, so that what is wrong with them is said
//! when the service starts, and not by every client's failed handshake.
//!
//! Where clients must have a certificate, one without may finish the handshake all the same and is then refused in HTTP: so
//! `/healthz` and `/readyz` answer probes, which have none, and the others are told what is missing. A certificate that is
//! there and was not signed by that authority ends the handshake.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, Error, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, rustls};

/// The files, all PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The service's certificate, and behind it those that lead to its authority's.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities one of which must have signed a client's certificate; absent, clients need none.
    pub client_ca: Option<PathBuf>,
}

/// What the listener needs of them.
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    /// Whether a client needs a certificate.
    pub(super) asks_clients: bool,
}

impl Tls {
    /// Reads the files. The error says which of them is wrong, how, and what to do; it never quotes a key.
    pub fn read(files: &TlsFiles) -> Result<Tls, String> {
        let provider = Arc::new(ring::default_provider());
        let certificates = certificates("the certificate", &files.cert)?;
        within_its_time(&certificates, &provider)
            .map_err(|what| format!("the certificate {}: {what}", files.cert.display()))?;
        let key = PrivateKeyDer::from_pem_slice(&read("the key", &files.key)?)
            .map_err(|error| not_pem("the key", &files.key, "private key", &error))?;
        let clients = files.client_ca.as_deref().map(|path| authorities(path, &provider)).transpose()?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let builder = match &clients {
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(certificates, key).map_err(|error| match error {
            Error::InconsistentKeys(_) => format!(
                "the key {} does not belong to the certificate {}; give the pair that was made together, the service's own \
                 certificate first in its file",
                files.key.display(),
                files.cert.display()
            ),
            error => format!("the key {} or the certificate {}: {error}", files.key.display(), files.cert.display()),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { config: Arc::new(config), asks_clients: clients.is_some() })
    }

    /// For one connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.config.clone().into()
    }
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {what} {}: {error}", path.display()))
}

fn not_pem(what: &str, path: &Path, wanted: &str, error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => {
            format!("{what} {} has no {wanted} in it; it must be a PEM file", path.display())
        }
        error => format!("{what} {} is no PEM file: {error}", path.display()),
    }
}

fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(what, path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.and_then(|all| if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) });
    all.map_err(|error| not_pem(what, path, "certificate", &error))
}

fn authorities(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let what = "the clients' authority";
    let wrong = |error: &dyn Display| format!("{what} {}: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, path)? {
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    builder.allow_unauthenticated().build().map_err(|error| wrong(&error))
}

/// Whether now is within a certificate's time. It is verified as if it were its own authority, and of what is said then only
/// that counts.
fn within_its_time(
    certificates: &[CertificateDer<'static>],
    provider: &CryptoProvider,
) -> Result<(), String> {
    let Some(own) = certificates.first() else { return Ok(()) };
    let parsed = ParsedCertificate::try_from(own).map_err(|error| format!("it cannot be read: {error}"))?;
    let mut roots = RootCertStore::empty();
    roots.add(own.clone()).map_err(|error| format!("it cannot be read: {error}"))?;
    let algorithms = provider.signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], UnixTime::now(), algorithms) {
        Err(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Err("it has expired; every client would refuse it; renew it".into()),
        Err(Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Err("it is not valid yet; look at this machine's clock".into()),
        _ => Ok(()),
    }
}
