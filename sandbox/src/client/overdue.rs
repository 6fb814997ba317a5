//! Whether a program that is over its idle limit stands still by its own doing.
//!
//! A look reads the states of its tasks one after the other, and they change meanwhile: one that the kernel has just let go is held up
//! no more and does not run yet, and nobody saw it run. So a program is ended when two looks in a row found all of it asleep.

use std::time::Duration;

/// How long after a look that ended nothing to look again.
pub(super) const AGAIN: Duration = Duration::from_millis(10);
/// So many times its idle limit a program may be held up by the kernel beyond it.
const MOST_HELD_UP: u32 = 10;

/// What the tasks of a program do, the one that counts for most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Asleep,
    /// By a slow disk, or for want of memory; but a program can bring that about.
    HeldUp,
    /// It runs, or waits for a core and nothing else. What it has waited so far stands nowhere until it gets one.
    WantsACore,
}

/// What was seen since the budget of idle time began.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Overdue {
    held_up: Duration,
    /// When last looked at.
    asleep: bool,
}

impl Overdue {
    /// Idle time that was not its own doing.
    pub(super) fn held_up(&self) -> Duration {
        self.held_up
    }

    /// Whether a program in this state, over its idle limit, is to be ended.
    pub(super) fn ends(&mut self, state: State, limit: Duration) -> bool {
        let asleep = match state {
            State::WantsACore => false,
            State::HeldUp if self.held_up < limit * MOST_HELD_UP => {
                self.held_up += limit / 2;
                false
            }
            State::HeldUp | State::Asleep => true,
        };
        std::mem::replace(&mut self.asleep, asleep) && asleep
    }
}

#[cfg(test)]
mod tests {
    use super::State::{Asleep, HeldUp, WantsACore};
    use super::*;

    /// A program that the kernel had held up was ended as a sleeper at the moment at which it was let go: one look asked who wants a
    /// core, the next who is held up, and it was neither at both.
    #[test]
    fn one_look_between_two_states_ends_nothing() {
        let rows: &[(&[State], Option<usize>)] = &[
            (&[Asleep, Asleep], Some(1)),
            (&[HeldUp, Asleep, WantsACore, Asleep, HeldUp, Asleep], None),
            (&[WantsACore, Asleep, HeldUp, Asleep, Asleep], Some(4)),
            (&[WantsACore; 100], None),
            // Twice ten excuses of half the limit; then it is as good as asleep.
            (&[HeldUp; 100], Some(21)),
        ];
        for (states, wanted) in rows {
            let mut overdue = Overdue::default();
            let ended = states.iter().position(|state| overdue.ends(*state, Duration::from_secs(2)));
            assert_eq!(ended, *wanted, "{states:?}");
        }
    }
}
