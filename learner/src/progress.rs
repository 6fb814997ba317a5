//! What a person sees while it runs: bars on a terminal, a line now and then elsewhere. Always stderr.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::metrics::StepMetrics;

/// Tells what is going on, or keeps quiet.
#[derive(Debug, Default)]
pub struct Progress {
    quiet: bool,
    warned: RefCell<BTreeSet<String>>,
}

/// The progress of one piece of work with a known number of steps.
#[derive(Debug)]
pub struct Bar<'a> {
    progress: &'a Progress,
    bar: ProgressBar,
    said: Cell<Instant>,
}

/// Between two lines where there is no terminal to draw a bar on.
const EVERY: Duration = Duration::from_secs(10);

impl Progress {
    /// Bars and lines on stderr.
    pub fn stderr() -> Progress {
        Progress::default()
    }

    /// Nothing at all, for tests.
    pub fn quiet() -> Progress {
        Progress { quiet: true, ..Progress::default() }
    }

    /// A bar for `steps` steps of which `done` are done.
    pub fn stage(&self, name: &str, steps: u64, done: u64) -> Bar<'_> {
        let bar = if self.quiet { ProgressBar::hidden() } else { ProgressBar::new(steps) };
        bar.set_length(steps);
        bar.set_position(done);
        if let Ok(style) =
            ProgressStyle::with_template("{prefix:>10} {bar:30} {pos:>4}/{len} {elapsed:>4} eta {eta} {msg}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        Bar { progress: self, bar, said: Cell::new(Instant::now()) }
    }

    /// A line that tells what was found or done.
    pub fn note(&self, line: &str) {
        if !self.quiet {
            eprintln!("{line}");
        }
    }

    /// A line about something that may go wrong.
    pub fn warn(&self, line: &str) {
        self.note(&format!("warning: {line}"));
    }

    /// As [`Progress::warn`], but only the first time of each kind: what lasts is plotted, not repeated. Whether it
    /// was said.
    pub fn warn_once(&self, kind: &str, line: &str) -> bool {
        let first = self.warned.borrow_mut().insert(kind.to_owned());
        if first {
            self.warn(line);
        }
        first
    }
}

impl Bar<'_> {
    /// One step further.
    pub fn step(&self, line: &StepMetrics) {
        self.advance(
            1,
            &format!("reward {:.3} entropy {:.3} T {:.3}", line.reward_mean, line.entropy, line.temperature),
        );
    }

    /// `steps` further, with a word on how it goes.
    pub fn advance(&self, steps: u64, message: &str) {
        self.bar.set_message(message.to_owned());
        self.bar.inc(steps);
        if self.bar.is_hidden() && self.said.get().elapsed() >= EVERY {
            self.said.set(Instant::now());
            let (position, length) = (self.bar.position(), self.bar.length().unwrap_or(0));
            self.progress.note(&format!("{:>10} {position}/{length} {message}", self.bar.prefix()));
        }
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        self.bar.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One flag stood for all kinds, so the first warning of a run silenced every other.
    #[test]
    fn each_kind_of_warning_is_given_once() {
        let progress = Progress::quiet();
        let said =
            ["drift", "all_wrong", "drift", "all_wrong"].map(|kind| progress.warn_once(kind, "a line"));
        assert_eq!(said, [true, true, false, false]);
    }
}
