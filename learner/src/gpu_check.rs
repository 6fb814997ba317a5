//! What there is to check and to measure once a GPU is at hand, in stages that each fit a few minutes of one.
//!
//! `kernels` holds the GPU against the CPU: each op by itself (`by_op.rs`), then whole models, batches and gradients.
//! `train` and `decode` measure speed and memory on models of the sizes people use, `shape7b` one of seven billion parameters.
//! Every measurement is a line of JSON that is on disk before the next begins, and one that is there already is not made
//! again: a stage that was cut goes on where it was. What failed, what was wrong and what there was no time for is made
//! again, and its newest line holds. `learner/gpu-check.sh` packs and starts this.

mod by_op;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::cuda::{Gpu, Stored};
use crate::error::{EngineError, Result};
use crate::model::{Batch, Config, Gradients, Lora, Model, Target, TokenStats};
use crate::ops;
use crate::optim::{AdamW, clip_global_norm};
use crate::sampler::{Cache, Sampler, SamplingParams};

/// Part of the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Stage {
    /// Ops, models, gradients, updates and samples on the GPU equal those on the CPU.
    Kernels,
    /// Tokens per second of training, and memory.
    Train,
    /// Tokens per second of sampling.
    Decode,
    /// The widths, heads and vocabulary of Qwen2.5-7B: a training step of two layers, sampling of all 28.
    Shape7b,
}

/// Where measurements go, and how long a stage may take.
#[derive(Debug)]
pub struct Plan {
    /// A file of JSON lines, which is added to.
    pub out: PathBuf,
    /// No measurement begins after this.
    pub time: Duration,
    /// Sizes that a GPU of the tests can do: the kernels' text on a CPU.
    pub small: bool,
}

/// What came of the measurements that a stage had still to make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// They ended in an error, or their result is not what it has to be.
    pub wrong: usize,
    /// Time was up before them.
    pub left: usize,
}

impl Outcome {
    /// 1 where something is wrong, 4 where the stage is not whole and is to be started again, 0 where all holds.
    pub fn exit_code(self) -> u8 {
        match self {
            Outcome { wrong: 1.., .. } => 1,
            Outcome { left: 1.., .. } => 4,
            _ => 0,
        }
    }
}

/// Makes the measurements of a stage that the file does not have.
///
/// # Errors
/// There is no GPU, or the file cannot be written. A measurement that fails is a line in it.
pub fn run(stage: Stage, plan: &Plan) -> Result<Outcome> {
    let gpu = Gpu::start().map_err(EngineError::Input)?;
    let mut log = Log::open(plan)?;
    log.measure("device", || {
        let about = gpu.describe()?;
        Ok(json!({ "name": about.name, "bytes": about.bytes, "compute_capability": about.capability }))
    })?;
    match stage {
        Stage::Kernels => kernels(gpu, &mut log, plan.small)?,
        Stage::Train => train(gpu, &mut log, plan.small)?,
        Stage::Decode => decode(gpu, &mut log, plan.small)?,
        Stage::Shape7b => shape7b(gpu, &mut log, plan.small)?,
    }
    let Outcome { wrong, left } = log.outcome;
    if wrong + left > 0 {
        let stage = format!("{stage:?}").to_lowercase();
        eprintln!(
            "{stage}: {wrong} measurements are wrong, for {left} there was no time; started again, it makes them again"
        );
    }
    Ok(log.outcome)
}

struct Log {
    file: File,
    path: PathBuf,
    done: BTreeSet<String>,
    until: Instant,
    outcome: Outcome,
}

impl Log {
    fn open(plan: &Plan) -> Result<Log> {
        let path = plan.out.clone();
        let there = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.map_err(EngineError::io(&path))?,
        };
        let file =
            OpenOptions::new().create(true).append(true).open(&path).map_err(EngineError::io(&path))?;
        // A last line without its newline was cut by a kill, and the next would be glued to it.
        let whole = there.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(EngineError::io(&path))?;
        let mut done = BTreeSet::new();
        for line in there[..whole].split(|byte| *byte == b'\n') {
            let line: Value = serde_json::from_slice(line).unwrap_or_default();
            if let (Some(name), true) = (line["name"].as_str(), holds(&line)) {
                done.insert(name.to_owned());
            }
        }
        Ok(Log { file, path, done, until: Instant::now() + plan.time, outcome: Outcome::default() })
    }

    fn measure(&mut self, name: &str, work: impl FnOnce() -> Result<Value>) -> Result<()> {
        if self.done.contains(name) {
            return Ok(());
        }
        let started = Instant::now();
        let mut line = json!({ "name": name });
        if started >= self.until {
            line["left"] = json!("the stage's time was up");
            self.outcome.left += 1;
            return self.write(&line);
        }
        match work() {
            Ok(figures) => line["figures"] = figures,
            Err(error) => line["error"] = json!(error.to_string()),
        }
        line["seconds"] = json!(started.elapsed().as_secs_f64());
        self.outcome.wrong += usize::from(!holds(&line));
        self.write(&line)
    }

    /// Says a line and puts it onto the disk.
    fn write(&mut self, line: &Value) -> Result<()> {
        println!("{line}");
        writeln!(self.file, "{line}")
            .and_then(|()| self.file.sync_data())
            .map_err(EngineError::io(&self.path))
    }
}

/// Whether a line is a measurement that was made, and that came out as it has to.
fn holds(line: &Value) -> bool {
    line.get("figures").is_some_and(|figures| figures["within"] != json!(false))
}

/// A model of few parameters.
struct Shape {
    name: &'static str,
    config: Config,
    /// Whether an adapter on it is what is trained.
    adapter: bool,
    /// Whether its logits come in chunks of a few rows on the GPU, while the CPU holds them all at once.
    chunks: bool,
}

/// Numbers of logits in such a chunk: a row or a few of these vocabularies, in training 16 rows.
const CHUNK: usize = 256;

impl Shape {
    fn model(&self) -> Result<Model> {
        let config = Config { initializer_range: 0.15, ..self.config.clone() };
        let mut model = Model::random(&config, 7)?;
        if self.adapter {
            adapt(&mut model)?;
        }
        Ok(model)
    }

    fn in_chunks(&self, mut model: Model) -> Model {
        if self.chunks {
            model.set_logits_at_once(CHUNK);
        }
        model
    }
}

/// Shapes that meet the kernels' corners: heads that share keys and that do not, narrow and wide ones, widths that no block
/// divides; tied and untied heads, and an adapter, with logits in chunks and all at once.
fn shapes() -> [Shape; 5] {
    let llama = |config: Config| Config {
        model_type: "llama".to_owned(),
        tie_word_embeddings: false,
        attention_bias: false,
        ..config
    };
    let shape = |name, config, [adapter, chunks]: [bool; 2]| Shape { name, config, adapter, chunks };
    [
        shape("gqa", Config::tiny(101, 48, 2, 6, 2), [false, false]),
        shape("llama", llama(Config::tiny(67, 40, 2, 5, 5)), [false, true]),
        shape("wide_heads", Config::tiny(301, 256, 1, 2, 1), [false, true]),
        shape("one_key_head", llama(Config::tiny(97, 64, 3, 8, 1)), [false, false]),
        shape("adapter", Config::tiny(101, 48, 2, 6, 2), [true, true]),
    ]
}

fn kernels(gpu: &'static Gpu, log: &mut Log, small: bool) -> Result<()> {
    for stored in [Stored::F32, Stored::Bf16] {
        for (name, comparison) in by_op::all(gpu, stored, small) {
            log.measure(&format!("kernels/op_{name}"), comparison)?;
        }
    }
    for shape in shapes() {
        for stored in [Stored::F32, Stored::Bf16] {
            let (config, label) = (&shape.config, format!("{}_{stored:?}", shape.name).to_lowercase());
            let pair = || -> Result<(Model, Model)> {
                let there = shape.model()?.on_gpu(gpu, stored)?;
                // What the CPU computes with is what the GPU stores, so that bf16 is compared with exact arithmetic.
                Ok((there.on_cpu()?, shape.in_chunks(there)))
            };
            log.measure(&format!("kernels/gradients_{label}"), || gradients(&pair()?, config, stored))?;
            log.measure(&format!("kernels/update_{label}"), || update(pair()?, stored))?;
            log.measure(&format!("kernels/sample_{label}"), || sample(&pair()?, config, stored))?;
        }
    }
    Ok(())
}

/// An adapter as training leaves one: a fresh one's second matrices are zero, and would hide the first ones.
fn adapt(model: &mut Model) -> Result<()> {
    model.adapt(&Lora { rank: 5, alpha: 8.0, target_modules: Target::ALL.into() }, 8)?;
    for (slot, (_, value)) in model.trained().enumerate() {
        let shift = |(i, value): (usize, &mut f32)| *value += ((i * 13 + slot * 7) % 23) as f32 / 110.0 - 0.1;
        ops::write(value, |values| values.iter_mut().enumerate().for_each(shift))?;
    }
    Ok(())
}

/// Greatest difference allowed, relative to the greatest number.
fn allowed(stored: Stored) -> f64 {
    match stored {
        Stored::F32 => 1e-4,
        Stored::Bf16 => 1e-1,
    }
}

fn gradients((here, there): &(Model, Model), config: &Config, stored: Stored) -> Result<Value> {
    let batch = batch(config, &[1, 2, 15, 16, 17, 33, 70], 3)?;
    let loss = |stats: &TokenStats| stats.logprob.iter().map(|logprob| -0.03 + 0.01 * logprob).collect();
    let (expected, exact) = here.loss_backward(&batch, 0.7, &loss)?;
    let (stats, ours) = there.loss_backward(&batch, 0.7, &loss)?;
    let (again, once_more) = there.loss_backward(&batch, 0.7, &loss)?;
    let scored = there.score(&batch, 0.7)?;
    let stats_error = greatest([
        worst(&stats.logprob, &expected.logprob),
        worst(&stats.entropy, &expected.entropy),
        worst(&stats.variance, &expected.variance),
    ]);
    let mut gradient_error = 0.0;
    for (ours, exact) in ours.tensors().iter().zip(exact.tensors()) {
        gradient_error = greatest([gradient_error, worst(&ops::read(ours)?, &ops::read(exact)?)]);
    }
    let mut same_bits = stats == again && stats == scored;
    for (first, second) in ours.tensors().iter().zip(once_more.tensors()) {
        same_bits &= *ops::read(first)? == *ops::read(second)?;
    }
    let norms = (ours.global_norm()?, exact.global_norm()?);
    let norm_error = ((norms.0 - norms.1) / norms.1).abs();
    let most = greatest([stats_error, gradient_error, norm_error]);
    Ok(json!({
        "statistics_error": stats_error, "gradient_error": gradient_error, "norm_error": norm_error,
        "repeats_to_the_bit": same_bits, "within": most <= allowed(stored) && same_bits,
    }))
}

/// Three steps on given gradients, clipped.
fn update((mut here, mut there): (Model, Model), stored: Stored) -> Result<Value> {
    let (mut near, mut far) = (AdamW::new(&here)?, AdamW::new(&there)?);
    for optimizer in [&mut near, &mut far] {
        (optimizer.weight_decay, optimizer.eps) = (0.1, 1e-6);
    }
    for step in 0..3 {
        let (mut given, mut brought) = (fresh_gradients(&here, step)?, fresh_gradients(&there, step)?);
        clip_global_norm(&mut given, 1.0)?;
        clip_global_norm(&mut brought, 1.0)?;
        near.update(&mut here, &given, 1e-2)?;
        far.update(&mut there, &brought, 1e-2)?;
    }
    let mut error = 0.0;
    for ((_, ours), (_, expected)) in there.trained().zip(here.trained()) {
        error = greatest([error, worst(&ops::read(ours)?, &ops::read(expected)?)]);
    }
    // bf16 rounds what it stores by up to 1/256 of a number; the f32 masters do not add to that.
    let most = if stored == Stored::F32 { 1e-5 } else { 5e-3 };
    Ok(json!({ "error": error, "within": error <= most }))
}

/// Greedy and drawn completions, over pages that a rollout needs several of and that do not hold all of them.
fn sample((here, there): &(Model, Model), config: &Config, stored: Stored) -> Result<Value> {
    let prompts: Vec<Vec<u32>> =
        [1, 3, 16, 17].iter().map(|&length| tokens(config, length, length as u64)).collect();
    let params =
        SamplingParams { greedy: true, max_new_tokens: 24, rollouts: 2, ..SamplingParams::default() };
    let few = Cache { page: 4, tokens: 160 };
    let expected = Sampler::new(here).generate(&prompts, &params)?;
    let ours = Sampler::new(there).with_cache(few).generate(&prompts, &params)?;
    let same = ours.iter().zip(&expected).filter(|(a, b)| a.completion_ids == b.completion_ids).count();
    let drawn = SamplingParams { greedy: false, temperature: 0.9, seed: 5, ..params };
    let drawn = Sampler::new(there).with_cache(few).generate(&prompts, &drawn)?;
    let mut gap = 0.0;
    for (index, rollout) in drawn.iter().enumerate() {
        let mut batch = Batch::new();
        batch.push(&prompts[index / 2], &rollout.completion_ids)?;
        let scored = there.score(&batch, 0.9)?.logprob;
        let apart = scored.iter().zip(&rollout.logprobs).map(|(a, b)| f64::from((a - b).abs()));
        gap = greatest(apart.chain([gap]));
    }
    // Of bf16 logits two can be equal where the exact ones are not, so those choices may differ.
    let all_same = stored == Stored::Bf16 || same == expected.len();
    let most = if stored == Stored::F32 { 1e-4 } else { 0.1 };
    Ok(json!({
        "greedy_equal": same, "of": expected.len(), "trainer_gap": gap, "within": all_same && gap <= most,
    }))
}

/// Greatest difference, relative to the greatest number that was expected; NaN where there is one, or another count.
fn worst(ours: &[f32], expected: &[f32]) -> f64 {
    if ours.len() != expected.len() {
        return f64::NAN;
    }
    let scale = expected.iter().fold(1e-6f64, |scale, &value| scale.max(f64::from(value).abs()));
    greatest(ours.iter().zip(expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs())) / scale
}

/// The greatest of some numbers that are not below 0; NaN, which is within no bound, as soon as one is. `f64::max` would
/// take the other.
fn greatest(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let greater = |a: f64, b: f64| if a.is_nan() || b <= a { a } else { b };
    numbers.into_iter().fold(0.0, greater)
}

fn tokens(config: &Config, count: usize, seed: u64) -> Vec<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| random.random_range(0..config.vocab_size as u32)).collect()
}

/// Sequences of these lengths and one token more, of which all but the first `prompt` are learned from.
fn batch(config: &Config, lengths: &[usize], prompt: usize) -> Result<Batch> {
    let mut batch = Batch::new();
    for &length in lengths {
        let tokens = tokens(config, length + 1, length as u64);
        let (prompt, response) = tokens.split_at(prompt.min(length));
        batch.push(prompt, response)?;
    }
    Ok(batch)
}

fn fresh_gradients(model: &Model, step: usize) -> Result<Gradients> {
    let one = |(slot, zeros): (usize, candle_core::Tensor)| {
        let number = |i: usize| ((i * 13 + slot * 7 + step * 29) % 23) as f32 / 11.0 - 0.97;
        let values: Vec<f32> = (0..zeros.elem_count()).map(number).collect();
        Ok(candle_core::Tensor::from_vec(values, zeros.shape(), zeros.device())?)
    };
    let values = model.zeros()?.into_iter().enumerate().map(one).collect::<Result<_>>()?;
    Gradients::from_tensors(model, values)
}

/// Qwen2.5's widths, without its numbers.
fn qwen(hidden: usize, intermediate: usize, layers: usize, heads: (usize, usize), tied: bool) -> Config {
    Config {
        intermediate_size: intermediate,
        rope_theta: 1e6,
        tie_word_embeddings: tied,
        max_position_embeddings: 32_768,
        ..Config::tiny(if tied { 151_936 } else { 152_064 }, hidden, layers, heads.0, heads.1)
    }
}

fn tiny() -> Config {
    Config::tiny(64, 32, 1, 2, 1)
}

fn train(gpu: &'static Gpu, log: &mut Log, small: bool) -> Result<()> {
    let half = qwen(896, 4864, 24, (14, 2), true);
    let m = Config { intermediate_size: 1408, ..Config::tiny(4096, 512, 6, 8, 4) };
    let sizes = match small {
        true => vec![("tiny", tiny(), 2, 12)],
        false => vec![("M", m, 16, 128), ("0.5B", half.clone(), 8, 1024), ("0.5B_long", half, 1, 8192)],
    };
    for (name, config, sequences, length) in sizes {
        for stored in [Stored::Bf16, Stored::F32] {
            for recompute in [false, true] {
                let kept = if recompute { "recompute" } else { "keep" };
                let label = format!("train/{name}_{stored:?}_{kept}").to_lowercase();
                log.measure(&label, || {
                    let mut model = Model::random(&config, 1)?.on_gpu(gpu, stored)?;
                    model.set_activation_bytes(if recompute { 0 } else { usize::MAX });
                    steps(gpu, &mut model, &batch(&config, &vec![length - 1; sequences], 1)?)
                })?;
            }
        }
    }
    Ok(())
}

/// A step to warm up, then five of which the median counts.
fn steps(gpu: &Gpu, model: &mut Model, batch: &Batch) -> Result<Value> {
    let mut optimizer = AdamW::new(model)?;
    let free = gpu.free_bytes()?;
    let count = batch.response_tokens();
    let (mut forward, mut whole, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    for step in 0..6 {
        gpu.wait()?;
        let started = Instant::now();
        let stats = model.score(batch, 1.0)?;
        let scored = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let (_, mut gradients) = model.loss_backward(batch, 1.0, &|_| vec![-1.0 / count as f32; count])?;
        clip_global_norm(&mut gradients, 1.0)?;
        optimizer.update(model, &gradients, 1e-3)?;
        gpu.wait()?;
        losses.push(-stats.logprob.iter().map(|&logprob| f64::from(logprob)).sum::<f64>() / count as f64);
        if step > 0 {
            forward.push(scored);
            whole.push(started.elapsed().as_secs_f64());
        }
    }
    let (forward, whole) = (median(forward), median(whole));
    Ok(json!({
        "tokens": batch.tokens().len(), "parameters": model.config().parameter_count(),
        "step_seconds": whole, "tokens_per_second": batch.tokens().len() as f64 / whole, "score_seconds": forward,
        "loss": losses, "within": losses[5] < losses[0] && losses.iter().all(|loss| loss.is_finite()),
        "free_bytes_before": free, "kept_bytes": gpu.kept_bytes()?,
    }))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn decode(gpu: &'static Gpu, log: &mut Log, small: bool) -> Result<()> {
    let (name, config, batches, lengths) = match small {
        true => ("tiny", tiny(), vec![1, 3], (5, 4)),
        false => ("0.5B", qwen(896, 4864, 24, (14, 2), true), vec![1, 8, 32, 128], (512, 256)),
    };
    sampling(gpu, log, "decode", (name, &config), &batches, lengths)
}

/// Prompts of `lengths.0` tokens, `lengths.1` drawn; a batch at a time.
fn sampling(
    gpu: &'static Gpu,
    log: &mut Log,
    stage: &str,
    (name, config): (&str, &Config),
    batches: &[usize],
    lengths: (usize, usize),
) -> Result<()> {
    // Made once, when the first of them is measured: at seven billion parameters that takes its time.
    let mut model = None;
    for &rows in batches {
        let label = format!("{stage}/{name}_bf16_batch_{rows}").to_lowercase();
        log.measure(&label, || {
            if model.is_none() {
                model = Some(Model::random(config, 1)?.on_gpu(gpu, Stored::Bf16)?);
            }
            let Some(model) = &model else { return Ok(Value::Null) };
            let prompts: Vec<_> = (0..rows).map(|row| tokens(config, lengths.0, row as u64)).collect();
            let params =
                SamplingParams { max_new_tokens: lengths.1, max_batch: rows, ..SamplingParams::default() };
            let cache = Cache { page: 16, tokens: rows * (lengths.0 + lengths.1 + 16) };
            let run = |most: usize| -> Result<f64> {
                let started = Instant::now();
                let params = SamplingParams { max_new_tokens: most, ..params.clone() };
                Sampler::new(model).with_cache(cache).generate(&prompts, &params)?;
                Ok(started.elapsed().as_secs_f64())
            };
            let (_, first, all) = (run(2)?, run(1)?, run(lengths.1)?);
            let step = (all - first) / (lengths.1 - 1) as f64;
            Ok(json!({
                "rows": rows, "prompt_tokens": lengths.0, "new_tokens": lengths.1, "prefill_seconds": first,
                "step_milliseconds": 1e3 * step, "tokens_per_second": rows as f64 / step,
            }))
        })?;
    }
    Ok(())
}

fn shape7b(gpu: &'static Gpu, log: &mut Log, small: bool) -> Result<()> {
    let deep = |layers| qwen(3584, 18_944, layers, (28, 4), false);
    let (shallow, whole, length) = match small {
        true => (tiny(), tiny(), 12),
        false => (deep(2), deep(28), 2048),
    };
    for stored in [Stored::Bf16, Stored::F32] {
        log.measure(&format!("shape7b/train_2_layers_{stored:?}").to_lowercase(), || {
            let mut model = Model::random(&shallow, 1)?.on_gpu(gpu, stored)?;
            model.set_activation_bytes(0);
            steps(gpu, &mut model, &batch(&shallow, &[length - 1; 2], 1)?)
        })?;
    }
    let lengths = if small { (5, 4) } else { (512, 128) };
    let batches: &[usize] = if small { &[1] } else { &[1, 8, 32, 64] };
    sampling(gpu, log, "shape7b", ("7b", &whole), batches, lengths)
}

/// The file of a stage in a folder.
pub fn file(folder: &Path, stage: Stage) -> PathBuf {
    folder.join(format!("{stage:?}.jsonl").to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome of three measurements, and which of them were made.
    fn measured(out: &Path, time: Duration, within: bool) -> (Outcome, Vec<&'static str>) {
        let plan = Plan { out: out.to_owned(), time, small: true };
        let mut log = Log::open(&plan).unwrap();
        let mut made = Vec::new();
        for (name, within) in [("fast", None), ("equal", Some(within)), ("exact", Some(true))] {
            log.measure(name, || {
                made.push(name);
                Ok(within.map_or(json!({ "seconds": 1 }), |within| json!({ "within": within })))
            })
            .unwrap();
        }
        (log.outcome, made)
    }

    const LONG: Duration = Duration::from_secs(3600);
    const WHOLE: Outcome = Outcome { wrong: 0, left: 0 };

    /// A wrong result was taken for a measurement that is done: started again, the check ended with 0.
    #[test]
    fn what_is_wrong_fails_and_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("kernels.jsonl");
        let (outcome, made) = measured(&out, LONG, false);
        assert_eq!((outcome, made.len()), (Outcome { wrong: 1, left: 0 }, 3));
        assert_eq!(measured(&out, LONG, false), (Outcome { wrong: 1, left: 0 }, vec!["equal"]));
        assert_eq!(outcome.exit_code(), 1);
        assert_eq!(measured(&out, LONG, true), (WHOLE, vec!["equal"]));
        assert_eq!(measured(&out, LONG, true), (WHOLE, vec![]));
    }

    #[test]
    fn an_error_is_wrong_too() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan { out: folder.path().join("train.jsonl"), time: LONG, small: true };
        let mut log = Log::open(&plan).unwrap();
        log.measure("broken", || Err(EngineError::Input("no room".to_owned()))).unwrap();
        assert_eq!(log.outcome.exit_code(), 1);
        assert!(Log::open(&plan).unwrap().done.is_empty());
    }

    /// What time was up for left no trace, and the check ended with 0.
    #[test]
    fn what_there_was_no_time_for_is_said_and_made_later() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("kernels.jsonl");
        let (outcome, made) = measured(&out, Duration::ZERO, true);
        assert_eq!((outcome, made.len(), outcome.exit_code()), (Outcome { wrong: 0, left: 3 }, 0, 4));
        assert_eq!(std::fs::read_to_string(&out).unwrap().matches("time was up").count(), 3);
        assert_eq!(measured(&out, LONG, true).1.len(), 3);
        assert_eq!(measured(&out, LONG, true), (WHOLE, vec![]));
        assert_eq!((Outcome { wrong: 1, left: 1 }.exit_code(), WHOLE.exit_code()), (1, 0));
    }

    /// The next line was glued to what a kill had left of one, and neither could be read.
    #[test]
    fn a_line_that_was_cut_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("kernels.jsonl");
        measured(&out, LONG, true);
        let whole = std::fs::read_to_string(&out).unwrap();
        // In the middle of a line, before its newline, and where there is no other.
        let last = whole.trim_end().rfind('\n').unwrap();
        for (cut, again) in [(whole.len() - 9, 1), (whole.len() - 1, 1), (last - 9, 2), (9, 3)] {
            std::fs::write(&out, &whole[..cut]).unwrap();
            assert_eq!(measured(&out, LONG, true).1.len(), again, "{cut}");
            let text = std::fs::read_to_string(&out).unwrap();
            assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
            assert_eq!(measured(&out, LONG, true), (WHOLE, vec![]));
        }
    }

    /// The comparisons themselves, both models on a CPU: what is the same holds, in chunks too, and what is not is found.
    #[test]
    fn the_comparisons_hold_between_equals_and_find_what_differs() {
        for shape in shapes() {
            let (config, stored) = (&shape.config, Stored::F32);
            let pair = || (shape.model().unwrap(), shape.in_chunks(shape.model().unwrap()));
            let made =
                [gradients(&pair(), config, stored), update(pair(), stored), sample(&pair(), config, stored)];
            for figures in made {
                assert_eq!(figures.as_ref().unwrap()["within"], true, "{}: {figures:?}", shape.name);
            }
            let other = || (shape.model().unwrap(), Model::random(config, 8).unwrap());
            if !shape.adapter {
                let made = [gradients(&other(), config, stored), update(other(), stored)];
                for figures in made {
                    assert_eq!(figures.as_ref().unwrap()["within"], false, "{}: {figures:?}", shape.name);
                }
            }
        }
    }

    /// A NaN between other numbers was no difference at all.
    #[test]
    fn what_is_no_number_is_within_no_bound() {
        assert_eq!(greatest([0.5, 2.0, 1.0]), 2.0);
        assert_eq!((worst(&[1.0, 2.5], &[1.0, 2.0]), worst(&[], &[])), (0.25, 0.0));
        for at in 0..3 {
            let mut ours = [1.0, 2.0, 3.0f32];
            ours[at] = f32::NAN;
            assert!(
                worst(&ours, &[1.0, 2.0, 3.0]).is_nan() && worst(&[1.0, 2.0, 3.0], &ours).is_nan(),
                "{at}"
            );
            assert!(greatest(ours.map(f64::from)).is_nan());
        }
        assert!(worst(&[1.0], &[1.0, 2.0]).is_nan());
    }
}
