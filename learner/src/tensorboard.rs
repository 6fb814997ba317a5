//! The metrics as TensorBoard event files, beside `metrics.jsonl`: `tensorboard --logdir DIR` draws them.
//!
//! # Theory of operation
//! An event file is a row of TFRecord frames (length, its checksum, bytes, their checksum), each an `Event` message of
//! protocol buffers. Both formats are small and have not changed since 2015, so they are written by hand; numbers are
//! little-endian, and a checksum is CRC-32C, turned by 15 bits and shifted by a constant so that a checksum of
//! checksums is no special case. A resumed run begins another file, whose second event says from which step on
//! TensorBoard has to forget what it knows: the run repeats these steps.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::metrics::{HeldOutAccuracy, SftMetrics, StepMetrics};

/// The directory of the event files in a run's directory.
pub const DIRECTORY: &str = "tensorboard";
/// Those of the SFT in it. Its steps count from 1 as those of reinforcement learning do, so they are another run there.
pub const SFT_DIRECTORY: &str = "sft";
/// How the name of an event file begins.
const PREFIX: &str = "events.out.tfevents.";

/// A step's figure, by the name that people know it by.
type Scalar<L = StepMetrics> = (&'static str, fn(&L) -> f64);

/// As TRL's trainers of either kind name them; the accuracies are ours.
pub const SFT_SCALARS: [Scalar<SftMetrics>; 4] = [
    ("train/loss", |line| line.loss),
    ("train/grad_norm", |line| line.grad_norm),
    ("train/learning_rate", |line| line.learning_rate),
    ("train/num_tokens", |line| line.num_tokens as f64),
];

/// TRL's names, behind the `train/` that its trainer puts there; then veRL's for what TRL has no name for; then ours.
pub const SCALARS: [Scalar; 35] = [
    ("train/reward", |line| line.reward_mean),
    ("train/reward_std", |line| line.reward_std),
    ("train/frac_reward_zero_std", |line| line.zero_std_fraction),
    ("train/entropy", |line| line.entropy),
    ("train/kl", |line| line.kl),
    ("train/loss", |line| line.loss),
    ("train/grad_norm", |line| line.grad_norm),
    ("train/learning_rate", |line| line.learning_rate),
    ("train/completions/mean_length", |line| line.completion_length_mean),
    ("train/completions/min_length", |line| line.completion_length_min as f64),
    ("train/completions/max_length", |line| line.completion_length_max as f64),
    ("train/completions/mean_terminated_length", |line| line.completion_length_terminated_mean),
    ("train/completions/clipped_ratio", |line| line.truncated_fraction),
    ("train/num_tokens", |line| line.num_tokens as f64),
    ("train/clip_ratio/low_mean", |line| line.clip_ratio_low),
    ("train/clip_ratio/high_mean", |line| line.clip_ratio_high),
    ("train/sampling/sampling_logp_difference/mean", |line| line.logprob_gap),
    ("train/sampling/sampling_logp_difference/max", |line| line.mismatch_max),
    ("train/step_time", StepMetrics::seconds),
    ("timing_s/gen", |line| line.seconds_rollout),
    ("timing_s/reward", |line| line.seconds_reward),
    ("timing_s/update_actor", |line| line.seconds_update),
    ("perf/throughput", |line| line.tokens_per_second),
    ("rollout_corr/k3_kl", |line| line.mismatch_kl),
    ("assay/temperature", |line| line.temperature),
    ("assay/infra_error_fraction", |line| line.infra_error_fraction),
    ("assay/unsupported_fraction", |line| line.unsupported_fraction),
    ("assay/unreadable_fraction", |line| line.unreadable_fraction),
    ("assay/corrected_fraction", |line| line.corrected_fraction),
    ("assay/reward_latency/p50", |line| line.reward_latency_p50_seconds),
    ("assay/reward_latency/p95", |line| line.reward_latency_p95_seconds),
    ("assay/reward_latency/max", |line| line.reward_latency_max_seconds),
    ("assay/solved_problems", |line| line.solved_problems as f64),
    ("assay/sampled_prompts", |line| line.sampled_prompts as f64),
    ("assay/findings", |line| line.diagnosis.len() as f64),
];

/// Appends to an event file, step by step.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Begins a file in `directory`, of the steps behind `after_step`.
    pub fn open(directory: &Path, after_step: u64) -> io::Result<EventWriter> {
        std::fs::create_dir_all(directory)?;
        let repeats = after_step > 0 || holds_events(directory)?;
        let now = now();
        // TensorBoard reads the files of a directory in the order of their names. Of two in one second, the
        // later must have the later name.
        let name = |count: u32| format!("{PREFIX}{:010}.assay.{count:03}", now as u64);
        let mut count = 0;
        let (path, file) = loop {
            let path = directory.join(name(count));
            match OpenOptions::new().create_new(true).append(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && count < 999 => count += 1,
                opened => break (path, opened?),
            }
        };
        let mut writer = EventWriter { path, file };
        writer.frame(&event(now, 0, |event| bytes(event, 3, b"brain.Event:2")))?;
        if repeats {
            const SESSION_LOG: u64 = 7;
            const START: &[u8] = &[1 << 3, 1];
            writer.frame(&event(now, after_step + 1, |event| bytes(event, SESSION_LOG, START)))?;
        }
        Ok(writer)
    }

    /// Appends a step's figures; they are in the file when this returns.
    pub fn write(&mut self, line: &StepMetrics) -> io::Result<()> {
        self.scalars(line.step, SCALARS.into_iter().map(|(tag, value)| (tag.to_owned(), value(line))))
    }

    /// Appends a step of SFT.
    pub fn write_sft(&mut self, line: &SftMetrics) -> io::Result<()> {
        let figures = SFT_SCALARS.into_iter().map(|(tag, value)| (tag.to_owned(), value(line)));
        let accuracies =
            line.accuracies.iter().map(|(family, share)| (format!("eval/accuracy/{family}"), *share));
        self.scalars(line.step, figures.chain(accuracies))
    }

    /// Appends held-out accuracies, of all problems and of each source's.
    pub fn write_held_out(&mut self, line: &HeldOutAccuracy) -> io::Result<()> {
        let sources = line.sources.iter().map(|(name, of)| (format!("eval/accuracy/{name}"), of.mean));
        let all = [("eval/accuracy", Some(line.accuracy)), ("eval/lenient", line.lenient)];
        let all = all.into_iter().filter_map(|(name, of)| Some((name.to_owned(), of?.mean)));
        self.scalars(line.step, sources.chain(all))
    }

    fn scalars(&mut self, step: u64, scalars: impl Iterator<Item = (String, f64)>) -> io::Result<()> {
        let mut values = Vec::new();
        for (tag, value) in scalars {
            let mut scalar = Vec::new();
            bytes(&mut scalar, 1, tag.as_bytes());
            scalar.push(2 << 3 | FIXED_32);
            scalar.extend((value as f32).to_le_bytes());
            bytes(&mut values, 1, &scalar);
        }
        self.frame(&event(now(), step, |event| bytes(event, 5, &values)))
    }

    /// Where the events go.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One TFRecord, in one write, so that a reader beside us meets whole ones.
    fn frame(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let parts =
            [&length[..], &masked(crc32c(&length)).to_le_bytes(), data, &masked(crc32c(data)).to_le_bytes()];
        self.file.write_all(&parts.concat())
    }
}

/// Whether a run wrote there before: one that was cut before its first checkpoint begins anew.
fn holds_events(directory: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(directory)? {
        if entry?.file_name().to_string_lossy().starts_with(PREFIX) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

const FIXED_64: u8 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u8 = 5;

/// An `Event`: time, step, and what it is about.
fn event(time: f64, step: u64, what: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut event = vec![1 << 3 | FIXED_64];
    event.extend(time.to_le_bytes());
    event.push(2 << 3);
    varint(&mut event, step);
    what(&mut event);
    event
}

/// A field of bytes, text or a message.
fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | LENGTH_DELIMITED);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What TFRecord stores of a checksum.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: a step is two kilobytes.
fn crc32c(data: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    };
    !data.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::line;

    /// The vectors of RFC 3720, appendix B.4.
    #[test]
    fn checksums_are_castagnolis() {
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        let rows: [(&[u8], u32); 5] = [
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&rising, 0x46dd_794e),
            (&falling, 0x113f_db5c),
            (b"123456789", 0xe306_9283),
        ];
        for (data, crc) in rows {
            assert_eq!(crc32c(data), crc, "{data:?}");
        }
    }

    /// A reader of its own: frames with their checksums checked, then fields of a message.
    fn frames(file: &[u8]) -> Vec<Vec<u8>> {
        let (mut at, mut frames) = (0, Vec::new());
        while at < file.len() {
            let length = u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
            let crc = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
            // Unmasked again, as the other side does it.
            let unmask = |stored: u32| stored.wrapping_sub(0xa282_ead8).rotate_left(15);
            assert_eq!(unmask(crc(at + 8)), crc32c(&file[at..at + 8]), "checksum of the length at {at}");
            let data = &file[at + 12..at + 12 + length];
            assert_eq!(unmask(crc(at + 12 + length)), crc32c(data), "checksum of the bytes at {at}");
            frames.push(data.to_vec());
            at += length + 16;
        }
        frames
    }

    fn number(data: &[u8], at: &mut usize) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = data[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    /// Field numbers with their bytes; a varint as eight.
    fn fields(data: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let (mut at, mut fields) = (0, Vec::new());
        while at < data.len() {
            let key = number(data, &mut at);
            let length = match key & 7 {
                0 => {
                    fields.push((key >> 3, number(data, &mut at).to_le_bytes().to_vec()));
                    continue;
                }
                1 => 8,
                2 => number(data, &mut at) as usize,
                5 => 4,
                kind => panic!("wire type {kind}"),
            };
            fields.push((key >> 3, data[at..at + length].to_vec()));
            at += length;
        }
        fields
    }

    fn read(path: &Path) -> Vec<Vec<(u64, Vec<u8>)>> {
        frames(&std::fs::read(path).unwrap()).iter().map(|frame| fields(frame)).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::open(directory.path(), 0).unwrap();
        // Step 300 needs a varint of two bytes.
        writer.write(&line(1)).unwrap();
        writer.write(&line(300)).unwrap();
        let events = read(writer.path());
        assert_eq!(events.len(), 3);
        assert_eq!(events[0][2], (3, b"brain.Event:2".to_vec()));
        let wall = f64::from_le_bytes(events[0][0].1[..].try_into().unwrap());
        assert!((now() - wall).abs() < 3600.0, "{wall} is not this hour");
        for (event, step) in events[1..].iter().zip([1, 300]) {
            assert_eq!(event[1], (2, u64::to_le_bytes(step).to_vec()));
            let (field, summary) = &event[2];
            let values: Vec<(String, f32)> = fields(summary)
                .iter()
                .map(|(_, value)| {
                    let value = fields(value);
                    let scalar = f32::from_le_bytes(value[1].1[..].try_into().unwrap());
                    (String::from_utf8(value[0].1.clone()).unwrap(), scalar)
                })
                .collect();
            let expected: Vec<(String, f32)> =
                SCALARS.iter().map(|(tag, of)| ((*tag).to_owned(), of(&line(step)) as f32)).collect();
            assert_eq!((*field, values), (5, expected));
        }
    }

    #[test]
    fn a_resumed_run_begins_a_later_file_that_takes_back_the_steps_it_repeats() {
        let directory = tempfile::tempdir().unwrap();
        let first = EventWriter::open(directory.path(), 0).unwrap();
        let second = EventWriter::open(directory.path(), 3).unwrap();
        assert!(second.path() > first.path(), "{:?} {:?}", first.path(), second.path());
        let events = read(second.path());
        assert_eq!(events[1][1..], [(2, 4u64.to_le_bytes().to_vec()), (7, vec![8, 1])]);
        assert_eq!(read(first.path()).len(), 1);
        // Cut before its first checkpoint, it repeats all.
        let third = EventWriter::open(directory.path(), 0).unwrap();
        assert_eq!(read(third.path())[1][1..], [(2, 1u64.to_le_bytes().to_vec()), (7, vec![8, 1])]);
    }

    #[test]
    fn sft_has_the_names_of_other_trainers_and_an_accuracy_where_one_was_measured() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::open(&directory.path().join("tensorboard/sft"), 0).unwrap();
        let line = SftMetrics {
            step: 7,
            loss: 1.5,
            learning_rate: 1e-3,
            grad_norm: 2.0,
            tokens: 10,
            num_tokens: 640,
            seconds: 0.1,
            skipped_updates: 0,
            accuracies: [("arithmetic".to_owned(), 0.25)].into(),
        };
        writer.write_sft(&line).unwrap();
        let events = read(writer.path());
        let names: Vec<String> = fields(&events[1][2].1)
            .iter()
            .map(|(_, value)| String::from_utf8(fields(value)[0].1.clone()).unwrap())
            .collect();
        let expected = [
            "train/loss",
            "train/grad_norm",
            "train/learning_rate",
            "train/num_tokens",
            "eval/accuracy/arithmetic",
        ];
        assert_eq!((names.as_slice(), events.len()), (&expected.map(str::to_owned)[..], 2));
    }

    #[test]
    fn no_two_figures_share_a_name() {
        let names: std::collections::BTreeSet<&str> = SCALARS.iter().map(|(tag, _)| *tag).collect();
        assert_eq!(names.len(), SCALARS.len());
    }
}
