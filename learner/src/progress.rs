//! What a person sees while it runs: bars on a terminal, a line now and then elsewhere. Always stderr.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

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
    /// When the first step of this process was done, and how many were by then: with a calibration before it, it says
    /// nothing of the pace.
    paced: Cell<Option<(Instant, u64)>>,
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
        let bar = self.bar(name, "{prefix:>10} {bar:30} {pos:>4}/{len} {elapsed:>4} eta {eta} {msg}");
        bar.bar.set_length(steps);
        bar.bar.set_position(done);
        bar
    }

    /// Counts what nobody knows the number of.
    pub fn count(&self, name: &str) -> Bar<'_> {
        self.bar(name, "{prefix:>10} {pos} {msg} {elapsed:>4} {per_sec}")
    }

    fn bar(&self, name: &str, template: &str) -> Bar<'_> {
        let bar = if self.quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        Bar { progress: self, bar, paced: Cell::new(None), said: Cell::new(Instant::now()) }
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
        let (since, done) = self.paced.get().unwrap_or_else(|| self.pace());
        if self.bar.is_hidden() && self.said.get().elapsed() >= EVERY {
            self.said.set(Instant::now());
            let position = self.bar.position();
            let of = self.bar.length().map_or_else(String::new, |length| {
                let left = length.saturating_sub(position);
                format!("/{length}{}", eta(since.elapsed(), position.saturating_sub(done), left))
            });
            self.progress.note(&format!("{:>10} {position}{of} {message}", self.bar.prefix()));
        }
    }

    /// From here on, where a first step was just done, the pace is measured.
    fn pace(&self) -> (Instant, u64) {
        let here = (Instant::now(), self.bar.position());
        self.paced.set(Some(here));
        self.bar.reset_eta();
        here
    }
}

/// How long the steps that are left will take by the pace of those done, as words of a line.
fn eta(elapsed: Duration, done: u64, left: u64) -> String {
    if done == 0 || left == 0 {
        return String::new();
    }
    let seconds = elapsed.as_secs_f64() / done as f64 * left as f64;
    let words = |eta| format!(" eta {:#}", HumanDuration(eta));
    Duration::try_from_secs_f64(seconds).map_or_else(|_| String::new(), words)
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        self.bar.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_long_it_will_take() {
        let rows = [
            (10, 5, 20, " eta 40s"),
            (7200, 4, 8, " eta 4h"),
            // Nothing is known yet, or nothing is left.
            (10, 0, 50, ""),
            (10, 50, 0, ""),
        ];
        for (seconds, done, left, words) in rows {
            assert_eq!(eta(Duration::from_secs(seconds), done, left), words);
        }
    }

    /// One flag stood for all kinds, so the first warning of a run silenced every other.
    #[test]
    fn each_kind_of_warning_is_given_once() {
        let progress = Progress::quiet();
        let said =
            ["drift", "all_wrong", "drift", "all_wrong"].map(|kind| progress.warn_once(kind, "a line"));
        assert_eq!(said, [true, true, false, false]);
    }
}
