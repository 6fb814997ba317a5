//! What there is to check and to measure once a GPU is at hand, in stages that each fit a few minutes of one.
//!
//! `kernels` holds the GPU against the CPU: the same models, batches and gradients through both. `train` and `decode` measure
//! speed and memory on models of the sizes people use, `shape7b` one of seven billion parameters. Every measurement is a line
//! of JSON that is on disk before the next begins, and one that is there already is not made again: a stage that was cut goes
//! on where it was. `learner/gpu-check.sh` packs and starts this.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
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
    /// Models, gradients, updates and samples on the GPU equal those on the CPU.
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

/// Makes the measurements of a stage that the file does not have; how many failed.
///
/// # Errors
/// There is no GPU, or the file cannot be written. A measurement that fails is a line in it.
pub fn run(stage: Stage, plan: &Plan) -> Result<usize> {
    let gpu = Gpu::start().map_err(EngineError::Input)?;
    let mut log = Log::open(plan)?;
    log.measure("device", || {
        let about = gpu.describe()?;
        Ok(json!({ "name": about.name, "bytes": about.bytes, "compute_capability": about.capability }))
    })?;
    match stage {
        Stage::Kernels => kernels(gpu, &mut log)?,
        Stage::Train => train(gpu, &mut log, plan.small)?,
        Stage::Decode => decode(gpu, &mut log, plan.small)?,
        Stage::Shape7b => shape7b(gpu, &mut log, plan.small)?,
    }
    Ok(log.failed)
}

struct Log {
    file: File,
    path: PathBuf,
    done: BTreeSet<String>,
    until: Instant,
    failed: usize,
}

impl Log {
    fn open(plan: &Plan) -> Result<Log> {
        let path = plan.out.clone();
        let mut done = BTreeSet::new();
        if let Ok(file) = File::open(&path) {
            for line in BufReader::new(file).lines() {
                let line: Value =
                    serde_json::from_str(&line.map_err(EngineError::io(&path))?).unwrap_or_default();
                // What failed may be tried again.
                if let (Some(name), None) = (line["name"].as_str(), line.get("error")) {
                    done.insert(name.to_owned());
                }
            }
        }
        let file =
            OpenOptions::new().create(true).append(true).open(&path).map_err(EngineError::io(&path))?;
        Ok(Log { file, path, done, until: Instant::now() + plan.time, failed: 0 })
    }

    fn measure(&mut self, name: &str, work: impl FnOnce() -> Result<Value>) -> Result<()> {
        if self.done.contains(name) || Instant::now() > self.until {
            return Ok(());
        }
        let started = Instant::now();
        let mut line = json!({ "name": name });
        match work() {
            Ok(figures) => line["figures"] = figures,
            Err(error) => line["error"] = json!(error.to_string()),
        }
        line["seconds"] = json!(started.elapsed().as_secs_f64());
        let wrong = line.get("error").is_some() || line["figures"]["within"] == json!(false);
        self.failed += usize::from(wrong);
        println!("{line}");
        writeln!(self.file, "{line}")
            .and_then(|()| self.file.sync_data())
            .map_err(EngineError::io(&self.path))
    }
}

/// Shapes of few parameters that meet the kernels' corners: heads that share keys and that do not, narrow and wide ones,
/// widths that no block divides, tied and untied heads; and whether an adapter on it is what is trained.
fn shapes() -> [(&'static str, Config, bool); 5] {
    let llama = |config: Config| Config {
        model_type: "llama".to_owned(),
        tie_word_embeddings: false,
        attention_bias: false,
        ..config
    };
    [
        ("gqa", Config::tiny(101, 48, 2, 6, 2), false),
        ("llama", llama(Config::tiny(67, 40, 2, 5, 5)), false),
        ("wide_heads", Config::tiny(301, 256, 1, 2, 1), false),
        ("one_key_head", llama(Config::tiny(97, 64, 3, 8, 1)), false),
        ("adapter", Config::tiny(101, 48, 2, 6, 2), true),
    ]
}

fn kernels(gpu: &'static Gpu, log: &mut Log) -> Result<()> {
    for (name, config, adapter) in shapes() {
        for stored in [Stored::F32, Stored::Bf16] {
            let label = format!("{name}_{stored:?}").to_lowercase();
            let pair = || -> Result<(Model, Model)> {
                let config = Config { initializer_range: 0.15, ..config.clone() };
                let mut model = Model::random(&config, 7)?;
                if adapter {
                    adapt(&mut model)?;
                }
                let there = model.on_gpu(gpu, stored)?;
                // What the CPU computes with is what the GPU stores, so that bf16 is compared with exact arithmetic.
                Ok((there.on_cpu()?, there))
            };
            log.measure(&format!("kernels/gradients_{label}"), || gradients(&pair()?, &config, stored))?;
            log.measure(&format!("kernels/update_{label}"), || update(pair()?, stored))?;
            log.measure(&format!("kernels/sample_{label}"), || sample(&pair()?, &config, stored))?;
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
    let stats_error = [
        worst(&stats.logprob, &expected.logprob),
        worst(&stats.entropy, &expected.entropy),
        worst(&stats.variance, &expected.variance),
    ]
    .into_iter()
    .fold(0.0, f64::max);
    let mut gradient_error = 0.0f64;
    for (ours, exact) in ours.tensors().iter().zip(exact.tensors()) {
        gradient_error = gradient_error.max(worst(&ops::read(ours)?, &ops::read(exact)?));
    }
    let mut same_bits = stats == again && stats == scored;
    for (first, second) in ours.tensors().iter().zip(once_more.tensors()) {
        same_bits &= *ops::read(first)? == *ops::read(second)?;
    }
    let norms = (ours.global_norm()?, exact.global_norm()?);
    let norm_error = ((norms.0 - norms.1) / norms.1).abs();
    let most = [stats_error, gradient_error, norm_error].into_iter().fold(0.0, f64::max);
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
    let mut error = 0.0f64;
    for ((_, ours), (_, expected)) in there.trained().zip(here.trained()) {
        error = error.max(worst(&ops::read(ours)?, &ops::read(expected)?));
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
    let mut gap = 0.0f64;
    for (index, rollout) in drawn.iter().enumerate() {
        let mut batch = Batch::new();
        batch.push(&prompts[index / 2], &rollout.completion_ids)?;
        let scored = there.score(&batch, 0.9)?.logprob;
        gap = scored.iter().zip(&rollout.logprobs).map(|(a, b)| f64::from((a - b).abs())).fold(gap, f64::max);
    }
    // Of bf16 logits two can be equal where the exact ones are not, so those choices may differ.
    let all_same = stored == Stored::Bf16 || same == expected.len();
    let most = if stored == Stored::F32 { 1e-4 } else { 0.1 };
    Ok(json!({
        "greedy_equal": same, "of": expected.len(), "trainer_gap": gap, "within": all_same && gap <= most,
    }))
}

/// Greatest difference, relative to the greatest number that was expected.
fn worst(ours: &[f32], expected: &[f32]) -> f64 {
    let scale = expected.iter().fold(1e-6f64, |scale, &value| scale.max(f64::from(value).abs()));
    let differences = ours.iter().zip(expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    // Whatever compares with NaN is false, and this must not pass.
    differences.fold(0.0, |worst, difference| if difference <= worst { worst } else { difference }) / scale
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
