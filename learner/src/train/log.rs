//! What a run writes down as it goes: a line per step, a line per look at the held-out problems, TensorBoard's events,
//! some of its rollouts.

use std::path::{Path, PathBuf};

use super::dump::{self, Dumped};
use super::{HELD_OUT, METRICS, State, TrainError};
use crate::metrics::{self, HeldOutAccuracy, StepMetrics, Writer};
use crate::tensorboard::{self, EventWriter};

/// The files, open.
#[derive(Debug)]
pub(super) struct Log {
    out: PathBuf,
    metrics: Writer,
    held_out: Writer,
    events: EventWriter,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let path: PathBuf = path.to_owned();
    move |source| TrainError::File { path, source }
}

impl Log {
    /// Opens the files of a run that stands at `state`: what it is about to repeat is taken out of them.
    pub(super) fn open(out: &Path, state: &State) -> Result<Log, TrainError> {
        let path = out.join(METRICS);
        let metrics =
            Writer::open(&path, |line: &StepMetrics| line.step <= state.step).map_err(failed(&path))?;
        let path = out.join(HELD_OUT);
        let held_out = Writer::open(&path, |line: &HeldOutAccuracy| Some(line.step) <= state.evaluated)
            .map_err(failed(&path))?;
        let path = out.join(tensorboard::DIRECTORY);
        let events = EventWriter::open(&path, state.step).map_err(failed(&path))?;
        Ok(Log { out: out.to_owned(), metrics, held_out, events })
    }

    /// The steps written so far.
    pub(super) fn steps(&self) -> Result<Vec<StepMetrics>, TrainError> {
        metrics::read(self.metrics.path()).map_err(failed(self.metrics.path()))
    }

    /// The looks written so far.
    pub(super) fn looks(&self) -> Result<Vec<HeldOutAccuracy>, TrainError> {
        metrics::read(self.held_out.path()).map_err(failed(self.held_out.path()))
    }

    pub(super) fn step(&mut self, line: &StepMetrics) -> Result<(), TrainError> {
        self.metrics.write(line).map_err(failed(self.metrics.path()))?;
        self.events.write(line).map_err(failed(self.events.path()))
    }

    pub(super) fn rollouts(&self, step: u64, dumped: &[Dumped], keep: usize) -> Result<(), TrainError> {
        dump::write(&self.out, step, dumped, keep).map_err(failed(&dump::file(&self.out, step)))
    }

    pub(super) fn held_out(&mut self, line: &HeldOutAccuracy) -> Result<(), TrainError> {
        self.held_out.write(line).map_err(failed(self.held_out.path()))?;
        self.events.write_held_out(line).map_err(failed(self.events.path()))
    }
}
