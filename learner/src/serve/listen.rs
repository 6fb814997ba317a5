//! Connections: how many, how long a request's head may take, and how they end. One that says nothing is closed after
//! [`HEAD_TIMEOUT`], which is also how long one is kept open between requests.

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

/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections at once; the next wait in the kernel's line.
const MOST: usize = 4096;
/// After a failure to accept, such as of having no descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` is ready, closes the listener, and finishes what was asked on open connections.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST));
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
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
        // A token is one small write: waiting to fill a packet would only delay it.
        let _ = stream.set_nodelay(true);
        let connection =
            protocol.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off breaks its own connection.
            let _ = watched.await;
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}
