//! At most so many at once. While anybody runs, a thread can move the engine's epoch on.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// How often a run is looked at.
pub(super) const EPOCH: Duration = Duration::from_millis(20);

/// So many places. Dropped, it ends its thread.
#[derive(Debug)]
pub(super) struct Gate {
    places: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// A run came or went.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    running: usize,
    over: bool,
}

/// A run that is going.
pub(super) struct Running<'a>(&'a Gate);

impl Gate {
    pub(super) fn new(places: usize) -> Gate {
        let state = State { running: 0, over: false };
        Gate { places, shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }) }
    }

    /// Starts a thread that moves the epoch on. It sleeps for good while nobody runs.
    pub(super) fn tick(&self, engine: Engine) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let builder = thread::Builder::new().name("wasm-epoch".into());
        builder.spawn(move || shared.tick(&engine)).map(drop)
    }

    /// Waits for a place.
    pub(super) fn enter(&self) -> Running<'_> {
        let state = self.shared.lock();
        let full = |state: &mut State| state.running == self.places;
        let mut state = self.shared.changed.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
        state.running += 1;
        if state.running == 1 {
            self.shared.changed.notify_all();
        }
        Running(self)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shared.lock().running -= 1;
        self.0.shared.changed.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn tick(&self, engine: &Engine) {
        loop {
            let idle = |state: &mut State| state.running == 0 && !state.over;
            let state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            if state.over {
                return;
            }
            drop(state);
            thread::sleep(EPOCH);
            engine.increment_epoch();
        }
    }

    /// A lock whose data stays good even if a holder panicked: every update is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
