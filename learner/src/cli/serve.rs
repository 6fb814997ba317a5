//! `assay-train serve`: a checkpoint behind OpenAI's HTTP API.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::chat::Choice;
use crate::sampler::Cache;
use crate::serve::{Config, Ended, serve};
use crate::train::TrainError;

#[derive(Debug, Args)]
#[command(after_help = EPILOGUE)]
pub(super) struct Serve {
    /// The checkpoint: an HF directory, or an adapter's that says where its base is (as DIR/rl of a run is one or the
    /// other), or a .gguf file
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// A low-rank adapter on it: a directory as the peft package writes it
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// What requests call the model [default: the last path part of the adapter, or else of the checkpoint]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// File with the tokens clients may use, one a line; needed for any address but loopback
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How conversations become text: auto (the model's own template), none, chatml, or a .jinja file
    #[arg(long, value_name = "TEMPLATE", default_value = "auto", value_parser = choice)]
    chat_template: Choice,
    /// Most completions that advance together
    #[arg(long, value_name = "N", default_value_t = 32, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=4096))]
    max_batch: u32,
    /// Tokens whose keys and values are kept; beyond that completions wait, or make room for older ones
    #[arg(long, value_name = "N", default_value_t = 65_536, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(16..))]
    cache_tokens: u32,
    /// Completions that may run or wait; beyond that the answer is 503
    #[arg(long, value_name = "N", default_value_t = 1024, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    queue: u32,
    /// The same answer bit for bit whoever shares the batch; slower where more than 64 advance together
    #[arg(long)]
    batch_invariant: bool,
    /// Seconds that a shutdown waits for what was asked before
    #[arg(long, value_name = "SECONDS", default_value_t = 30, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    grace: u32,
}

const EPILOGUE: &str = "\
When ready, one line on stdout says where: http://127.0.0.1:8000. Then:
  curl -s localhost:8000/v1/completions -H 'content-type: application/json' -d '{\"prompt\": \"1+1=\", \"max_tokens\": 8}'
  assay bench --base-url http://127.0.0.1:8000/v1 --model NAME ...

Routes: POST /v1/completions and /v1/chat/completions (stream, n, stop, seed, logprobs, temperature, top_p, top_k, min_p);
GET /v1/models, /healthz. Log-probabilities are of softmax(z/T) over the whole vocabulary, at T = 1 where temperature is 0.
SIGTERM or Ctrl-C finishes what was asked and exits 0; a second one exits at once with 130.";

fn choice(text: &str) -> Result<Choice, String> {
    Choice::try_from(text.to_owned())
}

/// Serves until a signal.
pub(super) fn run(args: &Serve) -> Result<(String, u8), TrainError> {
    let config = args.config()?;
    let said = |address: SocketAddr| {
        let mut stdout = std::io::stdout().lock();
        // Whoever started this and does not listen needs no address.
        let _ = writeln!(stdout, "http://{address}").and_then(|()| stdout.flush());
    };
    let ended = serve(&args.model, args.adapter.as_deref(), &config, said)?;
    let listening = |error: std::io::Error| {
        TrainError::Recipe(format!("cannot serve at {}: {error}; give another --listen", args.listen))
    };
    match ended.map_err(listening)? {
        Ended::Drained => Ok((String::new(), 0)),
        Ended::Cut(rollouts) => {
            super::complain(&format!(
                "stopped with {rollouts} completions unfinished after {} s",
                args.grace
            ));
            Ok((String::new(), 0))
        }
        Ended::Broken => {
            super::complain("the engine ended by itself; this is our failure");
            Ok((String::new(), 3))
        }
    }
}

impl Serve {
    fn config(&self) -> Result<Config, TrainError> {
        let tokens = self.tokens()?;
        if tokens.is_empty() && !self.listen.ip().is_loopback() {
            let what = format!(
                "--listen {} is reachable by others: give --token-file, or listen on 127.0.0.1",
                self.listen
            );
            return Err(TrainError::Recipe(what));
        }
        // A directory named `.` has a name, too.
        let named = self.adapter.as_ref().unwrap_or(&self.model);
        let path = std::fs::canonicalize(named).unwrap_or_else(|_| named.clone());
        let last = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Config {
            listen: self.listen,
            name: self.name.clone().unwrap_or_else(last),
            tokens,
            chat_template: self.chat_template.clone(),
            cache: Cache { tokens: self.cache_tokens as usize, ..Cache::default() },
            max_batch: self.max_batch as usize,
            batch_invariant: self.batch_invariant,
            queue: self.queue as usize,
            grace: Duration::from_secs(u64::from(self.grace)),
        })
    }

    fn tokens(&self) -> Result<Vec<String>, TrainError> {
        let Some(path) = &self.token_file else { return Ok(Vec::new()) };
        let failed = |source| TrainError::File { path: path.clone(), source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let tokens: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        match tokens.is_empty() {
            true => {
                Err(TrainError::Recipe(format!("{} holds no token; expected one a line", path.display())))
            }
            false => Ok(tokens),
        }
    }
}
