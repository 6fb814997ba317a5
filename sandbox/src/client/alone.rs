//! Having the sandbox to oneself for a while. Whoever runs a program is inside; who wants to be alone lets nobody in any
//! more, waits until the last one has left, and is the only one until it is done. Two uses: a run that a busy machine
//! may have made slow is repeated without the others, and so is one that is suspected of breaking its slots.
//!
//! Nobody waits for ever: a caller that keeps a session open inside would block one who wants to be alone, who therefore
//! gives up, and lets the others in again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts who is inside.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    closed: bool,
}

/// Somebody inside.
#[derive(Debug)]
pub(super) struct Inside(Arc<Gate>);

/// The only one inside.
#[derive(Debug)]
pub(super) struct Alone(Arc<Gate>);

impl Gate {
    /// Waits while somebody is alone, or waits to be.
    pub(super) fn enter(self: &Arc<Gate>) -> Inside {
        let state = self.locked();
        let mut state =
            self.changed.wait_while(state, |state| state.closed).unwrap_or_else(PoisonError::into_inner);
        state.inside += 1;
        Inside(Arc::clone(self))
    }

    /// Waits until nobody is inside; `None` when that takes longer than `patience`.
    pub(super) fn alone(self: &Arc<Gate>, patience: Duration) -> Option<Alone> {
        let deadline = Instant::now() + patience;
        let mut state = self.wait_until(self.locked(), deadline, |state| !state.closed)?;
        state.closed = true;
        // From here on, leaving opens it again.
        let alone = Alone(Arc::clone(self));
        match self.wait_until(state, deadline, |state| state.inside == 0) {
            Some(state) => drop(state),
            None => return None,
        }
        Some(alone)
    }

    fn wait_until<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Instant,
        holds: impl Fn(&State) -> bool,
    ) -> Option<MutexGuard<'a, State>> {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(state, left, |state| !holds(state));
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        (!timeout.timed_out()).then_some(state)
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.locked().inside -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.locked().closed = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn nobody_is_beside_one_who_is_alone() {
        let gate = Arc::new(Gate::default());
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _inside = gate.enter();
                        inside.fetch_add(1, SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, SeqCst);
                    }
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _alone = gate.alone(LONG).unwrap();
                        assert_eq!(inside.fetch_add(100, SeqCst), 0);
                        thread::yield_now();
                        assert_eq!(inside.fetch_sub(100, SeqCst), 100);
                    }
                });
            }
        });
    }

    #[test]
    fn one_who_cannot_be_alone_gives_up_and_opens_again() {
        let gate = Arc::new(Gate::default());
        let stays = gate.enter();
        assert!(gate.alone(Duration::from_millis(10)).is_none());
        let second = gate.enter();
        drop((stays, second));
        let alone = gate.alone(LONG).unwrap();
        assert!(gate.alone(Duration::from_millis(10)).is_none(), "two are alone");
        drop(alone);
        drop(gate.enter());
    }
}
