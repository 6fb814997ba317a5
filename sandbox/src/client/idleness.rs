//! Says when a program neither runs nor wants to, to a caller that runs more programs at once than there are cores.

use std::time::{Duration, Instant};

/// How often it is looked at: shorter sleeps are nobody's business.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Who is told, and what was told last. Dropped, the program is idle no more.
#[derive(Debug)]
pub(super) struct Idleness {
    tell: fn(bool),
    told: bool,
    looked: Instant,
    busy: Duration,
}

impl Idleness {
    pub(super) fn new(tell: fn(bool)) -> Idleness {
        Idleness { tell, told: false, looked: Instant::now(), busy: Duration::ZERO }
    }

    /// Whether it is time to look.
    pub(super) fn due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.looked) >= LOOK
    }

    /// Tells of a change. `busy` is how long the program has run, or waited for a core, in all; it is idle when that was less
    /// than a fifth of the time since the last look, and it does not want a core at this moment.
    pub(super) fn look(&mut self, now: Instant, busy: Duration, wants_a_core: impl FnOnce() -> bool) {
        let passed = now.saturating_duration_since(self.looked);
        let idle = busy.saturating_sub(self.busy) < passed / 5 && !wants_a_core();
        (self.looked, self.busy) = (now, busy);
        if idle != self.told {
            self.told = idle;
            (self.tell)(idle);
        }
    }
}

impl Drop for Idleness {
    fn drop(&mut self) {
        if self.told {
            (self.tell)(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        static TOLD: RefCell<Vec<bool>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn only_changes_are_told_and_the_end_is_one() {
        let mut idleness = Idleness::new(|idle| TOLD.with_borrow_mut(|told| told.push(idle)));
        let start = idleness.looked;
        assert!(!idleness.due(start) && idleness.due(start + LOOK));
        // Milliseconds since the start, and how many of them it was busy.
        let rows = [
            (50, 49, true),
            (100, 50, false),
            (150, 52, false),
            (200, 80, false),
            (250, 82, false),
            (300, 83, true),
        ];
        for (at, busy, wants) in rows {
            idleness.look(start + Duration::from_millis(at), Duration::from_millis(busy), || wants);
        }
        drop(idleness);
        // The last one is told because it waits for a core, and its end is no news then.
        assert_eq!(TOLD.take(), [true, false, true, false]);
    }
}
