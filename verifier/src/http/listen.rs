//! Connections: how many, how long a request's head may take, and how they end.
//!
//! A client that opens a connection and says nothing, or says it a byte a minute, holds a descriptor and nothing else, for at
//! most `head_timeout`, which a TLS handshake has as well; that is also how long a connection is kept open between requests. So many connections are served at
//! once as [`MOST`] says; the next wait in the kernel's line, not in ours.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::KnownClient;
use super::tls::Tls;

/// Connections at once: what descriptors usually allow, and what any trainer opens.
const MOST: usize = 8192;
/// After a failure to accept, such as of having no descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves HTTP/1.1 until `stop` is ready, closes the listener, and finishes what was asked on open connections. A request's head may
/// take `head_timeout`, which is also how long a connection is kept open between requests; `tls` is asked for each connection.
pub async fn serve_connections(
    listener: TcpListener,
    router: Router,
    head_timeout: Duration,
    tls: impl Fn() -> Option<Tls>,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST));
    let speaking = Speaking::new(router, head_timeout);
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let Ok((stream, _peer)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // An answer, or a token of it, is one write: waiting to fill a packet would only delay it.
        let _ = stream.set_nodelay(true);
        let (speaking, watcher) = (speaking.clone(), graceful.watcher());
        let tls = tls();
        tokio::spawn(async move {
            match tls {
                None => speaking.finish(stream, watcher, false).await,
                Some(tls) => speaking.encrypted(stream, watcher, &tls).await,
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// How connections are spoken with.
#[derive(Clone)]
struct Speaking {
    protocol: http1::Builder,
    head_timeout: Duration,
    /// For clients that are not known by a certificate.
    router: Router,
    /// For those that are.
    known: Router,
}

impl Speaking {
    fn new(router: Router, head_timeout: Duration) -> Speaking {
        let mut protocol = http1::Builder::new();
        protocol.timer(TokioTimer::new()).header_read_timeout(head_timeout);
        Speaking { protocol, head_timeout, known: router.clone().layer(Extension(KnownClient)), router }
    }

    async fn encrypted(self, stream: TcpStream, watcher: Watcher, tls: &Tls) {
        let handshake = tls.acceptor().accept(stream);
        // A client that does not come to terms knows so from the handshake.
        let Ok(Ok(stream)) = tokio::time::timeout(self.head_timeout, handshake).await else { return };
        let known = stream.get_ref().1.peer_certificates().is_some();
        self.finish(stream, watcher, known).await;
    }

    async fn finish<S>(self, stream: S, watcher: Watcher, known: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let router = if known { self.known } else { self.router };
        let connection =
            self.protocol.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        // A client that breaks off breaks its own connection.
        let _ = watcher.watch(connection).await;
    }
}
