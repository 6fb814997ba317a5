//! Connections: how many, how long a request's head may take, and how they end.
//!
//! A client that opens a connection and says nothing, or says it a byte a minute, holds a descriptor and nothing else, for at
//! most `head_timeout`; that is also how long a connection is kept open between requests. So many connections are served at
//! once as [`MOST`] says; the next wait in the kernel's line, not in ours.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once: what descriptors usually allow, and what any trainer opens.
const MOST: usize = 8192;
/// After a failure to accept, such as of having no descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` is ready, closes the listener, and finishes what was asked on open connections.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    head_timeout: Duration,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST));
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(head_timeout);
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
        // A client's answer is one write: waiting to fill a packet would only delay it.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(protocol.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A client that breaks off breaks its own connection.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}
