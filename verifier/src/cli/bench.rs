//! `assay bench`: problems go to a model's server, its completions are graded as they arrive.
//!
//! Three parties. A thread with a small runtime holds `--concurrency` requests open and reports each sample as obtained
//! or, when its tries are used up, as missing ([`client`]). This thread alone writes: a completion is a line of
//! `completions.jsonl` before anything else happens to it ([`completions`]). Threads of the grader, one per slot, read it
//! back from there, so what waits for a verdict is a file and not memory, and their rows go to the ledger as in
//! `assay grade`. Whatever ends the run, `--resume` asks only for samples that no line holds, and judges those that no
//! row has. A sample that could not be obtained is missing: counted, left out of every rate, never a zero.

mod client;
mod completions;
mod suite;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use assay_sandbox::Sandbox;
use assay_testsets::Problem;
use assay_verifier::template::Template;
use assay_verifier::window::Window;
use assay_verifier::{Mode, Profile, provenance};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::grader::{Grader, Rows, Sample};
use super::ledger::{Key, Ledger};
use super::problems::{Problems, bad_file};
use super::progress::Progress;
use super::results::{Results, Text};
use super::rules::Rules;
use super::values::{count, duration, number};
use super::window::WindowArgs;
use super::{CliError, Status, guard, output, sandbox};
use client::{Client, Failure, Patience, Reply};
use completions::{Completion, Completions, Reader, Span};
use suite::Suite;

/// Sample a model's server, grade what it answers and report on it
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE)]
pub(crate) struct Args {
    /// The problems, in any of the forms of --format; JSON Lines or a JSON array, also packed with gzip or zstd; parquet
    /// in a build with that feature
    problems: PathBuf,
    /// The server, up to what comes before /chat/completions, such as http://127.0.0.1:8000/v1
    #[arg(long, value_name = "URL")]
    base_url: String,
    /// The model's name, as the server knows it
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Directory for completions and results; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A benchmark as the paper samples it: aime24, aime25, hmmt25, brumo25, math500, lcb-v5, lcb-v6, humaneval-plus or
    /// mbpp-plus; the flags below go before it
    #[arg(long, value_name = "SUITE", value_parser = Suite::from_name)]
    suite: Option<Suite>,
    /// How a problem becomes a prompt: acereason-math, acereason-code, acereason1-math, acereason1-code, lcb, function or
    /// plain; by default acereason-math for math and lcb for code
    #[arg(long, value_name = "TEMPLATE", value_parser = Template::from_name)]
    template: Option<Template>,
    /// Completions per problem; 1 without a suite
    #[arg(long, value_name = "N", value_parser = count(1..=1_000_000_u32))]
    samples: Option<u32>,
    /// Ask /completions with the whole prompt as text, instead of /chat/completions
    #[arg(long)]
    text: bool,
    /// Sampling temperature
    #[arg(long, value_name = "N", default_value = "0.6", value_parser = number(0.0..=10.0))]
    temperature: f64,
    /// Nucleus sampling: the smallest set of tokens with this probability
    #[arg(long, value_name = "N", default_value = "0.95", value_parser = number(0.0..=1.0))]
    top_p: f64,
    /// Most tokens of a completion
    #[arg(long, value_name = "N", default_value = "32768", value_parser = count(1..=10_000_000_u32))]
    max_tokens: u32,
    /// What the seed of each sample is made of, with the problem's id and the sample's number
    #[arg(long, value_name = "N", default_value = "0", value_parser = count(0..=u64::MAX))]
    seed: u64,
    /// Requests open at once
    #[arg(long, value_name = "N", default_value = "32", value_parser = count(1..=4096_u16))]
    concurrency: u16,
    /// The environment variable that holds the server's API key
    #[arg(long, value_name = "NAME")]
    api_key_env: Option<String>,
    /// Longest time for one request
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    timeout: Duration,
    /// Tries per sample, with pauses that double from 1s to 1min, or as long as the server asks for
    #[arg(long, value_name = "N", default_value = "10", value_parser = count(1..=1000_u32))]
    tries: u32,
    /// The first pause
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pause: Duration,
    /// When no request at all has succeeded for so long, give samples up after three tries
    #[arg(long, value_name = "DURATION", default_value = "10min", value_parser = duration)]
    outage: Duration,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    window: WindowArgs,
    /// Go on with a run that was stopped, or get what is missing
    #[arg(long)]
    resume: bool,
    /// Print the report as one JSON value instead of a table
    #[arg(long)]
    json: bool,
}

const EPILOGUE: &str = "\
Examples:
  assay bench aime25.jsonl --suite aime25 --base-url http://127.0.0.1:8000/v1 --model NAME --out results
  assay bench problems.jsonl --samples 4 --max-tokens 4096 --base-url http://127.0.0.1:8000/v1 --model NAME --out results
  assay bench aime25.jsonl ... --out results --resume

Works with vLLM, SGLang, llama.cpp and whatever else speaks OpenAI's HTTP. Writes completions.jsonl as they arrive,
and what `assay grade` writes. Samples that cannot be had are reported as missing, with exit code 3, and --resume gets
them. The page SUITES.md says where each suite's file comes from.";

pub(crate) fn run(args: Args) -> Result<Status, CliError> {
    // First, while there is one thread and no file open: this call returns only in the unprivileged worker.
    let guarded = guard();
    let bench = Bench::load(&args)?;
    let profile = args.suite.as_ref().map_or(Profile::Judge, Suite::profile);
    let (options, jobs) = (args.rules.options(profile), args.rules.jobs());
    let sandbox = if bench.problems.has_code() {
        Some(sandbox(guarded, jobs)?)
    } else {
        guarded?;
        None
    };
    let doctor = sandbox.as_ref().map(Sandbox::doctor);
    let read = (args.problems.as_path(), bench.problems.format());
    let mut provenance = provenance::record(read, None, &options, doctor.as_ref()).map_err(bad_file)?;
    provenance["window"] = json!(bench.window);
    provenance["generation"] = bench.conditions(&args);
    fs::create_dir_all(&args.out).map_err(|error| CliError::write("the directory", &args.out, &error))?;
    let mut completions = Completions::open(&args.out, args.resume)?;
    let obtained: HashSet<Key> = completions.spans.keys().cloned().collect();
    let mut ledger = Ledger::open(&args.out, args.resume, &provenance, obtained)?;
    bench.problems.census.report();
    let started = Instant::now();
    let grader = Grader::new(sandbox, options, &args.rules, &provenance)?;
    let missing = bench.sample(&grader, jobs, &mut completions, &mut ledger)?;
    let notes = notes(&missing, bench.asked.len());
    let totals = completions.totals;
    let seconds = started.elapsed().as_secs_f64();
    let line = format!(
        "{} of {} completions, {} cut off by the token limit; {} tokens in prompts, {} in completions",
        totals.obtained,
        bench.asked.len(),
        totals.truncated,
        totals.prompt_tokens,
        totals.completion_tokens
    );
    let results = Results {
        out: &args.out,
        stem: "completions".to_owned(),
        json: args.json,
        problems: &bench.problems,
        window: &bench.window,
        ledger: &ledger,
        options: &options,
        provenance: &provenance,
        seconds,
        notes: notes.clone(),
        more: Some(("generation", totals.json(bench.asked.len()), line)),
    };
    let status = results.finish(&|place| bench.texts_of(place, &completions))?;
    match notes.into_iter().next() {
        None => Ok(status),
        Some(note) => Err(CliError::failure(note)),
    }
}

/// What is asked of the server.
struct Bench {
    problems: Arc<Problems>,
    /// Problem by its place in the file, and number, in the order of asking.
    asked: Vec<(usize, usize)>,
    samples: usize,
    template: Template,
    window: Window,
    fetcher: Arc<Fetcher>,
    concurrency: usize,
}

impl Bench {
    fn load(args: &Args) -> Result<Bench, CliError> {
        let suite = args.suite.as_ref();
        let format = args.rules.format.or(suite.and_then(Suite::format));
        let problems = Arc::new(Problems::with_prompts(&args.problems, format, &args.rules)?);
        let given = args.window.window();
        let window = match suite.map(Suite::window) {
            Some(window) if given == Window::default() => window,
            _ => given,
        };
        let inside = |problem: &Problem| window.asks(problem);
        let chosen: Vec<usize> =
            (0..problems.about.len()).filter(|&at| inside(&problems.about[at])).collect();
        let Some(&first) = chosen.first() else {
            return Err(CliError::usage(format!(
                "{}: no problem has a contest_date in the window; check the dates",
                args.problems.display()
            )));
        };
        // A window knows its number of problems, the suite's own with it; the report says the same of it at the end.
        let odd = match window.problems {
            Some(_) => window.warning(chosen.len()),
            None => suite.and_then(|suite| suite.warning(chosen.len())),
        };
        if let Some(warning) = odd {
            output::log(&format!("warning: {warning}"));
        }
        if let Some(empty) = chosen.iter().map(|&at| &problems.about[at]).find(|p| p.prompt.trim().is_empty())
        {
            return Err(CliError::usage(format!(
                "{}: problem `{}` has no text to ask with; give a file with statements",
                args.problems.display(),
                empty.question_id
            )));
        }
        let name = suite.map_or_else(|| Template::usual(&problems.about[first]), |suite| &suite.template);
        let template = match &args.template {
            Some(template) => template.clone(),
            None => Template::from_name(name).map_err(CliError::failure)?,
        };
        let samples = args.samples.or(suite.map(|suite| suite.samples)).unwrap_or(1) as usize;
        let asked = chosen.iter().flat_map(|&problem| (0..samples).map(move |number| (problem, number)));
        let asked = asked.collect();
        let fetcher = Arc::new(Fetcher::new(args, problems.clone(), template.clone())?);
        let concurrency = usize::from(args.concurrency);
        Ok(Bench { problems, asked, samples, template, window, fetcher, concurrency })
    }

    /// What decides the completions; where the server stands does not.
    fn conditions(&self, args: &Args) -> Value {
        json!({
            "suite": args.suite.as_ref().map(|suite| &suite.name),
            "model": args.model,
            "endpoint": if args.text { "completions" } else { "chat/completions" },
            "template": self.template.conditions(),
            "samples": self.samples,
            "temperature": args.temperature,
            "top_p": args.top_p,
            "max_tokens": args.max_tokens,
            "seed": args.seed,
        })
    }

    fn key(&self, (problem, number): (usize, usize)) -> Key {
        (self.problems.about[problem].question_id.clone(), number)
    }

    /// Gets and judges all that is not there yet; what could not be had, with the reason.
    fn sample(
        &self,
        grader: &Grader,
        jobs: usize,
        completions: &mut Completions,
        ledger: &mut Ledger,
    ) -> Result<Vec<String>, CliError> {
        let (events, incoming) = mpsc::channel();
        let (work, queue) = mpsc::channel();
        let (queue, reader) = (Mutex::new(queue), completions.reader.clone());
        let (stop, stopped) = oneshot::channel();
        thread::scope(|scope| {
            for _ in 0..jobs {
                let (events, queue, reader) = (events.clone(), &queue, &reader);
                scope.spawn(move || judge(&self.problems, grader, reader, queue, &events));
            }
            let mut desk = Desk { completions, ledger, work, fetching: 0, judging: 0, missing: Vec::new() };
            let mut todo = Vec::new();
            for &at in &self.asked {
                let key = self.key(at);
                match desk.completions.spans.get(&key) {
                    None => todo.push(at),
                    Some(&span) if !desk.ledger.has(&key) => desk.judge(at, span),
                    Some(_) => {}
                }
            }
            desk.fetching = todo.len();
            let (fetcher, concurrency) = (self.fetcher.clone(), self.concurrency);
            scope.spawn(move || fetch_all(fetcher, todo, concurrency, events, stopped));
            let progress = Progress::new(self.asked.len(), desk.ledger.graded.len());
            let result = desk.serve(&incoming, &progress);
            progress.done();
            // The fetcher's thread ends with its requests, the judges' when their queue is closed.
            drop(stop);
            let missing = std::mem::take(&mut desk.missing);
            drop(desk);
            result.map(|()| missing)
        })
    }

    /// The completions of the problem at this place, in the order of their numbers.
    fn texts_of(&self, place: usize, completions: &Completions) -> Result<Vec<Text>, CliError> {
        let mut texts = Vec::new();
        for number in 0..self.samples {
            if let Some(&span) = completions.spans.get(&self.key((place, number))) {
                texts.push(Text { number, mode: Mode::Completion, text: completions.reader.text(span)? });
            }
        }
        Ok(texts)
    }
}

/// What the other threads have to say.
enum Event {
    Obtained((usize, usize), Box<Completion>),
    Missing(String),
    /// The run cannot go on.
    Fatal(CliError),
    Judged(Box<Rows>),
}

/// A completion to be judged.
type Job = ((usize, usize), Span);

/// Where everything comes together.
struct Desk<'a> {
    completions: &'a mut Completions,
    ledger: &'a mut Ledger,
    work: Sender<Job>,
    fetching: usize,
    judging: usize,
    missing: Vec<String>,
}

impl Desk<'_> {
    fn judge(&mut self, at: (usize, usize), span: Span) {
        // The judges take jobs for as long as this end is open.
        self.judging += usize::from(self.work.send((at, span)).is_ok());
    }

    fn serve(&mut self, incoming: &Receiver<Event>, progress: &Progress) -> Result<(), CliError> {
        let mut result = Ok(());
        let (mut synced, begun, before) = (Instant::now(), Instant::now(), self.completions.totals);
        while result.is_ok() && self.fetching + self.judging > 0 {
            result = match incoming.recv_timeout(Duration::from_millis(500)) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => Err(CliError::failure("all other threads have ended")),
            };
            if synced.elapsed() > Duration::from_secs(1) {
                self.sync()?;
                synced = Instant::now();
            }
            let tokens = self.completions.totals.completion_tokens - before.completion_tokens;
            let speed = tokens as f64 / begun.elapsed().as_secs_f64();
            let missing = match self.missing.len() {
                0 => String::new(),
                count => format!(", {count} missing"),
            };
            progress.show(self.ledger, &format!(", {speed:.0} tokens/s{missing}"));
        }
        self.sync()?;
        result
    }

    /// Completions first: a row without its completion would not count.
    fn sync(&mut self) -> Result<(), CliError> {
        self.completions.sync()?;
        self.ledger.sync()
    }

    fn take(&mut self, event: Event) -> Result<(), CliError> {
        match event {
            Event::Obtained(at, completion) => {
                self.fetching -= 1;
                let span = self.completions.add(&completion)?;
                self.judge(at, span);
            }
            Event::Missing(why) => {
                self.fetching -= 1;
                if self.missing.is_empty() {
                    output::log(&format!("warning: first sample given up: {why}"));
                }
                self.missing.push(why);
            }
            Event::Fatal(error) => return Err(error),
            Event::Judged(rows) => {
                self.judging -= 1;
                self.ledger.add(rows.0, rows.1)?;
            }
        }
        Ok(())
    }
}

/// A judge's life: until the queue is closed.
fn judge(
    problems: &Problems,
    grader: &Grader,
    reader: &Reader,
    queue: &Mutex<Receiver<Job>>,
    events: &Sender<Event>,
) {
    // Held until the next sample has its own: those of one problem arrive together.
    let mut held = None;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(((problem, number), span)) = next else { return };
        let rows = catch_unwind(AssertUnwindSafe(|| {
            let loaded = held.insert(problems.get(problem)?);
            let sample = Sample { problem, number, mode: Mode::Completion };
            grader.rows(loaded, sample, reader.text(span)?)
        }));
        let event = match rows {
            Ok(Ok(rows)) => Event::Judged(Box::new(rows)),
            Ok(Err(error)) => Event::Fatal(error),
            Err(_) => Event::Fatal(CliError::failure("a judge failed, see above; go on with --resume")),
        };
        if events.send(event).is_err() {
            return;
        }
    }
}

/// Turns samples into requests.
struct Fetcher {
    client: Client,
    problems: Arc<Problems>,
    template: Template,
    request: Value,
    text: bool,
    seed: u64,
}

impl Fetcher {
    fn new(args: &Args, problems: Arc<Problems>, template: Template) -> Result<Fetcher, CliError> {
        let Args { timeout, tries, pause, outage, text, .. } = *args;
        let token = args.api_key_env.as_deref().map(|name| {
            env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
                CliError::usage(format!("--api-key-env {name}: the environment has no such variable; set it"))
            })
        });
        let path = if text { "completions" } else { "chat/completions" };
        let patience = Patience { timeout, tries, pause, outage };
        let client = Client::new(&args.base_url, path, token.transpose()?.as_deref(), patience)?;
        let request = json!({
            "model": args.model,
            "temperature": args.temperature,
            "top_p": args.top_p,
            "max_tokens": args.max_tokens,
            "n": 1,
            "stream": false,
        });
        Ok(Fetcher { client, problems, template, request, text, seed: args.seed })
    }

    async fn fetch(&self, at: (usize, usize)) -> Event {
        let problem = &self.problems.about[at.0];
        let (started, seed) = (Instant::now(), seed(self.seed, &problem.question_id, at.1));
        let mut request = self.request.clone();
        match self.text {
            true => request["prompt"] = self.template.text(problem).into(),
            false => request["messages"] = self.template.messages(problem),
        }
        request["seed"] = seed.into();
        match self.client.obtain(&request.to_string()).await {
            Ok(Reply { text, finish_reason, prompt_tokens, completion_tokens }) => Event::Obtained(
                at,
                Box::new(Completion {
                    question_id: problem.question_id.clone(),
                    sample: at.1,
                    seed,
                    completion: text,
                    finish_reason,
                    prompt_tokens,
                    completion_tokens,
                    seconds: started.elapsed().as_secs_f64(),
                }),
            ),
            Err(Failure::Passing(why, _) | Failure::Refused(why)) => {
                Event::Missing(format!("problem `{}`, sample {}: {why}", problem.question_id, at.1))
            }
            Err(Failure::Fatal(why)) => Event::Fatal(CliError::usage(format!(
                "the server refuses: {why}; check --base-url, --model and --api-key-env"
            ))),
        }
    }
}

/// Reports on all of `todo`, until `stopped`.
fn fetch_all(
    fetcher: Arc<Fetcher>,
    todo: Vec<(usize, usize)>,
    concurrency: usize,
    events: Sender<Event>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = events.send(Event::Fatal(CliError::failure(format!("cannot start requests: {error}"))));
            return;
        }
    };
    let (count, todo) = (todo.len(), Arc::new((AtomicUsize::new(0), todo)));
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..concurrency.min(count) {
            let (fetcher, todo, events) = (fetcher.clone(), todo.clone(), events.clone());
            tasks.spawn(async move {
                while let Some(&at) = todo.1.get(todo.0.fetch_add(1, Ordering::Relaxed)) {
                    if events.send(fetcher.fetch(at).await).is_err() {
                        return;
                    }
                }
            });
        }
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                if let Err(error) = ended {
                    let _ =
                        events.send(Event::Fatal(CliError::failure(format!("a request failed: {error}"))));
                }
            }
        };
        tokio::select! { () = all => {}, _ = stopped => {} }
    });
}

/// A seed of 31 bits, which every server takes: the same for the same sample whenever it is asked for.
fn seed(base: u64, question_id: &str, number: usize) -> u32 {
    let hash = Sha256::new()
        .chain_update(base.to_le_bytes())
        .chain_update((number as u64).to_le_bytes())
        .chain_update(question_id)
        .finalize();
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]) >> 1
}

fn notes(missing: &[String], asked: usize) -> Vec<String> {
    let note = |first: &String| {
        format!(
            "{} of {asked} samples were not obtained (first: {first}); they are left out of every rate; get them with \
             --resume",
            missing.len()
        )
    };
    missing.iter().min().map(note).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::seed;

    #[test]
    fn seeds_differ_by_sample_and_stay() {
        let all = [seed(0, "a", 0), seed(0, "a", 1), seed(0, "b", 0), seed(1, "a", 0)];
        assert!(all.iter().enumerate().all(|(at, one)| !all[..at].contains(one)), "{all:?}");
        assert!(all.iter().all(|&seed| seed < 1 << 31));
        assert_eq!(seed(0, "a", 0), all[0]);
    }
}
