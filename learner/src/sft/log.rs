//! What an SFT writes down as it goes: a line per step, and TensorBoard's events.

use std::path::Path;

use super::METRICS;
use crate::metrics::{self, SftMetrics, Writer};
use crate::tensorboard::{self, EventWriter};
use crate::train::TrainError;

/// The files, open.
#[derive(Debug)]
pub(super) struct Log {
    metrics: Writer,
    events: EventWriter,
    /// Tokens of the steps so far, prompts included.
    tokens: u64,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let path = path.to_owned();
    move |source| TrainError::File { path, source }
}

impl Log {
    /// Opens the files of an SFT that stands at `step`: what it is about to repeat is taken out of them.
    pub(super) fn open(out: &Path, step: u64) -> Result<Log, TrainError> {
        std::fs::create_dir_all(out).map_err(failed(out))?;
        let path = out.join(METRICS);
        let metrics = Writer::open(&path, |line: &SftMetrics| line.step <= step).map_err(failed(&path))?;
        let before: Vec<SftMetrics> = metrics::read(&path).map_err(failed(&path))?;
        let path = out.join(tensorboard::DIRECTORY).join(tensorboard::SFT_DIRECTORY);
        let events = EventWriter::open(&path, step).map_err(failed(&path))?;
        Ok(Log { metrics, events, tokens: before.last().map_or(0, |line| line.num_tokens) })
    }

    /// Writes a step, whose `num_tokens` are its own; in the files they are added up.
    pub(super) fn step(&mut self, line: &SftMetrics) -> Result<(), TrainError> {
        self.tokens += line.num_tokens;
        let line = SftMetrics { num_tokens: self.tokens, ..line.clone() };
        self.metrics.write(&line).map_err(failed(self.metrics.path()))?;
        self.events.write_sft(&line).map_err(failed(self.events.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> SftMetrics {
        SftMetrics {
            step,
            loss: 1.0 / step as f64,
            learning_rate: 1e-3,
            grad_norm: 1.0,
            tokens: 30,
            num_tokens: 100,
            seconds: 0.5,
            skipped_updates: 0,
            accuracies: [].into(),
        }
    }

    #[test]
    fn an_sft_that_goes_on_repeats_the_steps_since_its_checkpoint() {
        let out = tempfile::tempdir().unwrap();
        let write = |after: u64, to: u64| {
            let mut log = Log::open(out.path(), after).unwrap();
            (after + 1..=to).for_each(|at| log.step(&step(at)).unwrap());
            metrics::read::<SftMetrics>(&out.path().join(METRICS)).unwrap()
        };
        write(0, 5);
        let lines = write(3, 6);
        let tokens: Vec<(u64, u64)> = lines.iter().map(|line| (line.step, line.num_tokens)).collect();
        assert_eq!(tokens, [(1, 100), (2, 200), (3, 300), (4, 400), (5, 500), (6, 600)]);
        // Cut before its first checkpoint, it begins anew.
        assert_eq!(write(0, 2).len(), 2);
        let events = out.path().join(tensorboard::DIRECTORY).join(tensorboard::SFT_DIRECTORY);
        assert_eq!(std::fs::read_dir(events).unwrap().count(), 3);
    }
}
