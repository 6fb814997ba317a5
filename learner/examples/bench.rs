//! Our side of `scripts/bench_vs_torch.py`: reads one JSON request on standard input, measures, writes one JSON answer.
//!
//! Request: `model` (directory), `job` (`train`, `sample` or `grpo`), `prompts` (token ids), and for `train` `steps` (each of all
//! prompts), for `sample` `lengths` (new tokens of each prompt) and `batch_invariant`, for `grpo` `texts` (the prompts),
//! `rollouts` of each, `longest` (tokens of a completion), `steps` and a `scratch` directory. Answers `tokens_per_second`,
//! `tokens_per_cpu_second` (of all threads), `peak_bytes` (of this process), and from the start of the process `seconds_to_ready` (the model is loaded) and
//! `seconds_to_first` (the first step or token is done). The tokens of `grpo` are those of completions, its time that from one
//! asking for rewards to the next: an update, and the sampling after it.

use std::cell::RefCell;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use assay_learner::model::{Batch, Model};
use assay_learner::optim::AdamW;
use assay_learner::progress::Progress;
use assay_learner::recipe::Recipe;
use assay_learner::reward_client::{Answer, Ask, Grade, RewardError};
use assay_learner::run::Run;
use assay_learner::sampler::{Sampler, SamplingParams};
use assay_learner::train;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Request {
    model: PathBuf,
    job: String,
    prompts: Vec<Vec<u32>>,
    #[serde(default)]
    steps: usize,
    #[serde(default)]
    lengths: Vec<usize>,
    #[serde(default)]
    batch_invariant: bool,
    #[serde(default)]
    texts: Vec<String>,
    #[serde(default)]
    rollouts: usize,
    #[serde(default)]
    longest: usize,
    #[serde(default)]
    scratch: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let request: Request = serde_json::from_reader(std::io::stdin().lock())?;
    let done = match request.job.as_str() {
        "grpo" => grpo(&request, started)?,
        job => {
            let mut model = Model::load(&request.model)?;
            let ready = started.elapsed().as_secs_f64();
            match job {
                "train" => tune(&mut model, &request, started, ready)?,
                _ => sample(&model, &request, started, ready)?,
            }
        }
    };
    let Done { tokens, from, to, ready, first } = done;
    let answer = json!({
        "tokens_per_second": tokens as f64 / (to.at - from.at).as_secs_f64(),
        "tokens_per_cpu_second": tokens as f64 / (to.cpu_seconds - from.cpu_seconds),
        "peak_bytes": peak()?,
        "seconds_to_ready": ready,
        "seconds_to_first": first,
    });
    println!("{answer}");
    Ok(())
}

/// What was done after the first step or token.
struct Done {
    tokens: usize,
    from: Moment,
    to: Moment,
    /// Seconds from the start until the model was loaded.
    ready: f64,
    /// Seconds from the start to the end of the first step or token.
    first: f64,
}

/// When, and what CPU time had been taken by then.
#[derive(Clone, Copy)]
struct Moment {
    at: Instant,
    cpu_seconds: f64,
}

impl Moment {
    fn now() -> Result<Moment, Box<dyn Error>> {
        Ok(Moment { at: Instant::now(), cpu_seconds: cpu_seconds()? })
    }
}

fn tune(model: &mut Model, request: &Request, started: Instant, ready: f64) -> Result<Done, Box<dyn Error>> {
    let mut optimizer = AdamW::new(model)?;
    let mut batch = Batch::new();
    for prompt in &request.prompts {
        batch.push(&prompt[..1], &prompt[1..])?;
    }
    let count = batch.response_tokens();
    let mut step = |model: &mut Model| -> Result<(), Box<dyn Error>> {
        let (_, gradients) = model.loss_backward(&batch, 1.0, &|_| vec![-1.0 / count as f32; count])?;
        Ok(optimizer.update(model, &gradients, 1e-4)?)
    };
    step(model)?;
    let first = started.elapsed().as_secs_f64();
    let from = Moment::now()?;
    (0..request.steps).try_for_each(|_| step(model))?;
    Ok(Done { tokens: request.steps * batch.tokens().len(), from, to: Moment::now()?, ready, first })
}

fn sample(model: &Model, request: &Request, started: Instant, ready: f64) -> Result<Done, Box<dyn Error>> {
    let sampler = Sampler::new(model);
    let batch_invariant = request.batch_invariant;
    let params = SamplingParams { seed: 1, batch_invariant, ..SamplingParams::default() };
    let one = vec![1; request.prompts.len()];
    sampler.generate_up_to(&request.prompts, &one, &params)?;
    let first = started.elapsed().as_secs_f64();
    let from = Moment::now()?;
    let all = sampler.generate_up_to(&request.prompts, &request.lengths, &params)?;
    let tokens = all.iter().map(|one| one.completion_ids.len()).sum();
    Ok(Done { tokens, from, to: Moment::now()?, ready, first })
}

/// Rewards that differ, so that every group has something to teach; it remembers when it was asked.
#[derive(Default)]
struct Hashed(RefCell<Vec<Moment>>);

impl Grade for Hashed {
    fn grade(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, RewardError> {
        self.0.borrow_mut().extend(Moment::now().ok());
        let sum = |ask: &Ask<'_>| ask.completion.bytes().map(u32::from).sum::<u32>();
        let answer = |ask| Answer::Graded { reward: f64::from(sum(ask) % 97) / 96.0, verdict: String::new() };
        Ok(asks.iter().map(answer).collect())
    }
}

/// Steps of a run, as `assay-train rl` takes them.
fn grpo(request: &Request, started: Instant) -> Result<Done, Box<dyn Error>> {
    let Request { model, texts, rollouts, longest, scratch, steps, .. } = request;
    let problems = scratch.join("problems.jsonl");
    let row = |(id, text)| json!({ "id": id, "problem": text, "answer": "0" }).to_string() + "\n";
    std::fs::write(&problems, texts.iter().enumerate().map(row).collect::<String>())?;
    let recipe = format!(
        "seed = 1\n[model]\nload = {model:?}\nchat_template = 'none'\n[problems]\nall = {problems:?}\n\
         [[rl]]\nname = 'bench'\nprompts = {{ all = {} }}\nrollouts = {rollouts}\nsteps = {}\n\
         max_completion_length = {longest}\nlearning_rate = 1e-6\ntemperature = {{ mode = 'fixed' }}\n",
        texts.len(),
        steps + 1
    );
    let out = scratch.join("run");
    let run = Run::start(Recipe::parse("bench.toml", &recipe)?, &out, Progress::quiet())?;
    drop(run.start_policy()?);
    let ready = started.elapsed().as_secs_f64();
    let grader = Hashed::default();
    run.rl(&grader, &out, false)?;
    let asked = grader.0.into_inner();
    let (Some(from), Some(to)) = (asked.first(), asked.last()) else {
        return Err("nothing was sampled".into());
    };
    let lines = train::steps(&out)?;
    let per_step = texts.len() * rollouts;
    let tokens: f64 = lines.iter().skip(1).map(|line| line.completion_length_mean * per_step as f64).sum();
    let first = (asked[1].at - started).as_secs_f64();
    Ok(Done { tokens: tokens.round() as usize, from: *from, to: *to, ready, first })
}

/// CPU time that this process has taken.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // User and system time, in hundredths of a second; the name in brackets may hold blanks.
    let fields = stat.rsplit(')').next().ok_or("no name")?.split_whitespace().skip(11).take(2);
    Ok(fields.map(str::parse::<f64>).sum::<Result<f64, _>>()? / 100.0)
}

/// The most memory this process ever had, in bytes.
fn peak() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
}
