//! SIGINT and SIGTERM: the first asks the loop to stop after saving what it has (or answering what it was asked), the
//! second stops at once.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Exit code of an interrupted command.
pub const EXIT_CODE: u8 = 130;

/// Whether someone asked to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Starts to listen; `what` says what the first signal leads to. Where it is not possible the signals keep their usual
/// effect.
pub fn listen(what: &'static str) {
    let listener = std::thread::Builder::new().name("signals".to_owned());
    // Without the thread a signal just ends the process; the last checkpoint stands.
    let _ = listener.spawn(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(wait(what));
    });
}

async fn wait(what: &str) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            exit_now();
        }
        eprintln!("assay-train: {what}; once more to stop at once");
    }
}

#[expect(clippy::exit, reason = "the user asked twice; the last checkpoint on disk is whole")]
fn exit_now() -> ExitCode {
    std::process::exit(i32::from(EXIT_CODE))
}
