//! Signals to the service, as wishes to stop or to read its configuration again.

use std::io;
use std::time::{Duration, Instant};

use assay_sandbox::guardian;
use tokio::signal::unix::{SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Stop,
    ReadAgain,
}

/// SIGTERM, SIGINT and, where asked for, the end of standard input, as one stream of wishes to stop; among them SIGHUP, the wish
/// to read the configuration again.
pub(super) struct Signals {
    hang_up: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    stdin_closed: Option<tokio::sync::oneshot::Receiver<()>>,
    last: Option<Instant>,
}

impl Signals {
    /// One Ctrl-C reaches the whole foreground group and may be forwarded as well: signals this close
    /// together are one wish.
    const ONE_WISH: Duration = Duration::from_millis(500);

    pub(super) fn listen(stdin: bool) -> io::Result<Signals> {
        let stdin_closed = if stdin { Some(stdin_watcher()?) } else { None };
        let signals = Signals {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            stdin_closed,
            last: None,
        };
        guardian::release_stop_signals()?;
        Ok(signals)
    }

    /// The number of the first signal.
    pub(super) async fn early(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        }
    }

    /// The next wish to stop.
    pub(super) async fn stop(&mut self) {
        while self.next().await == Wish::ReadAgain {}
    }

    pub(super) async fn next(&mut self) -> Wish {
        loop {
            let stdin = async {
                match &mut self.stdin_closed {
                    Some(closed) => drop(closed.await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
                _ = self.hang_up.recv() => return Wish::ReadAgain,
                () = stdin => self.stdin_closed = None,
            }
            if self.last.is_none_or(|last| last.elapsed() > Self::ONE_WISH) {
                self.last = Some(Instant::now());
                return Wish::Stop;
            }
        }
    }
}

/// Reads standard input to its end on a thread of its own.
fn stdin_watcher() -> io::Result<tokio::sync::oneshot::Receiver<()>> {
    let (closed, is_closed) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(closed);
    })?;
    Ok(is_closed)
}
