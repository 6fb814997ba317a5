//! A bar where stderr is a terminal, a line now and then where it is not: how far, how fast, how long yet, and the
//! score so far.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::ledger::Ledger;
use super::output;

pub(crate) struct Progress {
    bar: ProgressBar,
    plain: bool,
    total: usize,
    before: usize,
    started: Instant,
    logged: Cell<Instant>,
}

impl Progress {
    /// For a run of `total` samples, `before` of which were there when it began.
    pub(crate) fn new(total: usize, before: usize) -> Progress {
        let bar = ProgressBar::new(total as u64).with_position(before as u64);
        let template = "{bar:30} {pos}/{len}  {per_sec}  ETA {eta}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.reset_eta();
        let now = Instant::now();
        let plain = !io::stderr().is_terminal();
        Progress { bar, plain, total, before, started: now, logged: Cell::new(now) }
    }

    /// `more` is what else the command has to say.
    pub(crate) fn show(&self, ledger: &Ledger, more: &str) {
        let score =
            ledger.pass_at_1().map_or_else(String::new, |rate| format!("pass@1 {:.1} %", 100.0 * rate));
        let done = ledger.graded.len();
        self.bar.set_position(done as u64);
        self.bar.set_message(format!("{score}{more}"));
        if self.plain && self.logged.get().elapsed() > Duration::from_secs(10) {
            self.logged.set(Instant::now());
            let speed = done.saturating_sub(self.before) as f64 / self.started.elapsed().as_secs_f64();
            let total = self.total;
            let left = match speed > 0.0 {
                true => format!("{:.0} s left", (total - done) as f64 / speed),
                false => "time left unknown".to_owned(),
            };
            output::log(&format!("{done}/{total}, {speed:.1}/s, {left}, {score}{more}"));
        }
    }

    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }
}
