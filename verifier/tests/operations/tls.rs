//! Encrypted connections, clients' certificates, and reading all of that again on SIGHUP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::service::{HANG, Server, file, serve, wait, wait_until};

/// An authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, PEM.
struct Pair {
    cert: String,
    key: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for 127.0.0.1, valid up to a year's first day.
    fn signs(&self, until: i32) -> Pair {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { cert, key: key.serialize_pem() }
    }
}

/// The status and the body, or why there was no connection. All that ask have the same token.
fn ask(
    address: SocketAddr,
    path: &str,
    authority: &Authority,
    client: Option<&Pair>,
) -> Result<(u16, String), String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let cert = CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    };
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    let name = address.ip().to_string().try_into().unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket);
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer a-token\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes)
        && bytes.is_empty()
    {
        return Err(error.to_string());
    }
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no HTTP came back")?;
    Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
}

fn arguments<'a>(cert: &'a Path, key: &'a Path) -> [&'a str; 5] {
    ["--math-only", "--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()]
}

#[test]
fn connections_are_encrypted_and_clients_may_have_to_be_known() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, strange) = (Authority::new(), Authority::new());
    let own = ours.signs(4000);
    let [cert, key, authority] = [("cert", &own.cert), ("key", &own.key), ("authority", &ours.pem)]
        .map(|(name, text)| file(directory.path(), name, text));
    let server = Server::start(&arguments(&cert, &key));
    let (status, body) = ask(server.address, "/v1/ping", &ours, None).unwrap();
    assert_eq!((status, body.as_str()), (200, "\"pong\""));
    assert!(ask(server.address, "/v1/ping", &strange, None).unwrap_err().contains("certificate"));
    // Who speaks plain HTTP is told nothing.
    let mut plain = TcpStream::connect(server.address).unwrap();
    plain.set_read_timeout(Some(HANG)).unwrap();
    write!(plain, "GET /v1/ping HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");

    let both = [&arguments(&cert, &key)[..], &["--tls-client-ca", authority.to_str().unwrap()]].concat();
    let server = Server::start(&both);
    let rows = [
        ("/v1/ping", Some(ours.signs(4000)), Ok(200)),
        ("/v1/ping", None, Ok(403)),
        ("/metrics", None, Ok(403)),
        ("/healthz", None, Ok(200)),
        ("/readyz", None, Ok(200)),
        ("/v1/ping", Some(strange.signs(4000)), Err(())),
        ("/healthz", Some(ours.signs(2020)), Err(())),
    ];
    for (path, client, expected) in rows {
        let reply = ask(server.address, path, &ours, client.as_ref());
        assert_eq!(reply.as_ref().map(|(status, _)| *status).map_err(|_| ()), expected, "{path}: {reply:?}");
    }
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (own, other, old) = (authority.signs(4000), authority.signs(4000), authority.signs(2020));
    let put = |name: &str, text: &str| file(directory.path(), name, text).to_str().unwrap().to_owned();
    let (cert, key) = (put("cert.pem", &own.cert), put("key.pem", &own.key));
    let (other_key, old_cert) = (put("other-key.pem", &other.key), put("old-cert.pem", &old.cert));
    let (old_key, text) = (put("old-key.pem", &old.key), put("text.pem", "hello secret"));
    let rows: [(&[&str], &[&str]); 8] = [
        (&["--tls-cert", &cert], &["--tls-key"]),
        (&["--tls-client-ca", &cert], &["--tls-cert"]),
        (&["--tls-cert", "/no/cert", "--tls-key", &key], &["/no/cert", "cannot read the certificate"]),
        (&["--tls-cert", &cert, "--tls-key", &other_key], &["other-key.pem", "does not belong", "cert.pem"]),
        (&["--tls-cert", &old_cert, "--tls-key", &old_key], &["old-cert.pem", "expired"]),
        (&["--tls-cert", &text, "--tls-key", &key], &["text.pem", "no certificate"]),
        (&["--tls-cert", &cert, "--tls-key", &cert], &["cert.pem", "no private key"]),
        (
            &["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &text],
            &["text.pem", "the clients' authority"],
        ),
    ];
    for (arguments, named) in rows {
        let mut child = serve(&[&["--math-only"], arguments].concat()).spawn().unwrap();
        let code = wait(&mut child).code();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((code, said.lines().count()), (Some(2), 1), "{arguments:?}: {said}");
        for part in named {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        assert!(!said.contains("secret") && !said.contains("BEGIN"), "{said}");
    }
}

#[test]
fn sighup_reads_tokens_certificates_and_limits_again_or_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (Authority::new(), Authority::new());
    let put = |name: &str, text: &str| file(directory.path(), name, text).to_str().unwrap().to_owned();
    let put_pair = |pair: &Pair| [put("cert", &pair.cert), put("key", &pair.key)];
    let [cert, key] = put_pair(&first.signs(4000));
    let tls = format!("tls-cert = {cert:?}\ntls-key = {key:?}\n");
    let settings = |more: &str| put("assay.toml", &format!("[serve]\nmath-only = true\n{tls}{more}"));
    let config = settings("");
    let server = Server::start(&["--config", &config]);
    let asked = |authority: &Authority, path: &str| ask(server.address, path, authority, None);
    let status = |authority: &Authority| asked(authority, "/v1/version").map(|(status, _)| status).ok();
    let says = |authority: &Authority, line: &str| {
        asked(authority, "/metrics").is_ok_and(|(_, text)| text.lines().any(|one| one == line))
    };
    assert_eq!(status(&first), Some(200));

    let tokens = put("tokens", "another-token\n");
    settings(&format!("token-file = {tokens:?}\nslots = 77\n"));
    put_pair(&second.signs(4000));
    server.signal(Signal::SIGHUP);
    wait_until("the new certificate and tokens", || status(&second) == Some(401));
    assert_eq!(status(&first), None);
    put("tokens", "another-token\na-token\n");
    server.signal(Signal::SIGHUP);
    wait_until("the new token", || status(&second) == Some(200));
    let (_, version) = asked(&second, "/v1/version").unwrap();
    assert!(!version.contains("\"slots\":77"), "slots are made at the start: {version}");

    // One thing is wrong, and nothing changes, what is right included.
    put("key", &first.signs(4000).key);
    put("tokens", "another-token\n");
    server.signal(Signal::SIGHUP);
    wait_until("the refusal", || says(&second, "assay_config_last_reload_successful 0"));
    assert_eq!(status(&second), Some(200));

    put_pair(&first.signs(4000));
    settings("");
    server.signal(Signal::SIGHUP);
    wait_until("the first authority's again", || says(&first, "assay_config_last_reload_successful 1"));
}
