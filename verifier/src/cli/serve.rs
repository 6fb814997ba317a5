//! `assay serve`: rewards over HTTP.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_sandbox::guardian::{self, GuardOptions};
use assay_sandbox::{Sandbox, SandboxConfig, SandboxError, Tier};
use assay_verifier::http::{self, Config, Ended, LogFormat, LogLevel, ServeError, Tls, TlsFiles, Token};
use clap::{ArgMatches, FromArgMatches};

use super::values::{count, duration, size};
use super::{CliError, Status, output, read_file};

/// Serve verdicts and rewards over HTTP
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE)]
pub(crate) struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: SocketAddr,
    /// File with the tokens clients may use, one a line; needed for any address but loopback
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificate to encrypt connections with, PEM, the service's own first; needs --tls-key
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Let in only clients whose certificate one of these authorities signed, PEM; /healthz and /readyz stay open
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// Items worked on at once, each in a sandbox slot of its own; 0 means one per core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = count(0..=1024_u16))]
    slots: u16,
    /// Items beyond those whose programs only sleep: they take no core, and until their idle limit they keep nobody waiting
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = count(0..=1024_u16))]
    sleepers: u16,
    /// Items that may wait beyond those; then /v1 answers 503 with Retry-After
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = count(0..=u32::MAX))]
    queue: u32,
    /// Longest wait in the queue; then the answer is 504
    #[arg(long, value_name = "DURATION", default_value = "10min", value_parser = duration)]
    queue_deadline: Duration,
    /// Longest request body, unpacked where it is gzip or zstd
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    max_body: u64,
    /// Most that the bodies of all requests may take together until they are answered; what comes then is not read before there
    /// is room, and after --body-timeout answered 503, on drop-in routes 504
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    max_bodies: u64,
    /// How long a request's head may take, and how long a connection is kept open between requests
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration)]
    head_timeout: Duration,
    /// How long a request's body may take
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    body_timeout: Duration,
    /// Directory that keeps stored problems over a restart; without it they end with the service
    #[arg(long, value_name = "DIRECTORY")]
    problems: Option<PathBuf>,
    /// Most that all stored problems may take; then POST /v1/problems answers 507
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    problems_size: u64,
    /// Results of /v1 kept in memory, so that an item that comes again is not judged again; 0 keeps none
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = count(0..=u32::MAX))]
    cache: u32,
    /// Keep those results as files, too: a restart finds them, and so do other services of the same program and interpreters.
    /// Nothing is removed there but by you
    #[arg(long, value_name = "DIRECTORY")]
    cache_dir: Option<PathBuf>,
    /// Most CPU time, and most idle time, a request may ask for per test
    #[arg(long, value_name = "DURATION", default_value = "5min", value_parser = duration)]
    max_time: Duration,
    /// Most memory a request may ask for per test
    #[arg(long, value_name = "SIZE", default_value = "8GiB", value_parser = size)]
    max_memory: u64,
    /// Most output a request may ask for per test and stream; it is held in memory
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    max_output: u64,
    /// How long a shutdown waits for what was asked before
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    grace: Duration,
    /// Refuse to start with weaker walls than this tier: A, B, C, D or W
    #[arg(long, value_name = "TIER", value_parser = tier)]
    tier: Option<Tier>,
    /// Start without a sandbox: math is graded, code is answered infra_error
    #[arg(long)]
    math_only: bool,
    /// Send traces to this collector by OTLP over HTTP, such as http://127.0.0.1:4318; in builds with the feature otlp. The standard's
    /// variables (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, ..) hold
    #[arg(long, value_name = "URL", value_parser = http_url)]
    otlp: Option<String>,
    /// Accept tests that run in the program's own process, as open-instruct's assertions do where they are no plain calls:
    /// a program can forge what they say
    #[arg(long)]
    in_process: bool,
    /// Stop, as on SIGTERM, when standard input closes: no server outlives the program that started it
    #[arg(long)]
    until_stdin_closes: bool,
    /// How log lines on stderr look
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "json")]
    log: LogFormat,
    /// Which log lines are written
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "info")]
    log_level: LogLevel,
}

const EPILOGUE: &str = "\
When ready, one line on stdout says where: http://127.0.0.1:8080. Then:
  curl -s localhost:8080/v1/grade -H 'content-type: application/json' -d '
    {\"problem\": {\"task\": {\"type\": \"math\", \"ground_truth\": \"1/2\"}}, \"completion\": \"\\\\boxed{0.5}\"}'

Routes: POST /v1/grade and /v1/grade/batch; those of SandboxFusion, ScaleBox, OpenRLHF, slime, open-instruct, NeMo-Gym,
NeMo-Skills, open-r1, AReaL, Piston and Judge0; GET /healthz, /readyz, /metrics. In a browser: /docs shows them all, /live
what goes on; where there are tokens, one is the password there.
SIGHUP reads the settings and their files again: tokens, certificates, limits and deadlines change at once, and the log names
what needs a restart.
SIGTERM or Ctrl-C finishes what was asked and exits 0; a second one exits at once with 130. One that
comes before the service is ready ends it at once: exit code 143 after SIGTERM, 130 after Ctrl-C.";

pub(crate) fn run(args: Args) -> Result<Status, CliError> {
    // From here on this process is the guardian's worker: it holds no privilege, and another one starts slots.
    let guarded = (!args.math_only).then(|| guardian::run(&GuardOptions::default()));
    if guarded.is_some() {
        // A signal ends this worker at once from here until it listens, and the guardian says so with 128 + signal.
        guardian::release_stop_signals().map_err(unheld)?;
    }
    let config = config(&args)?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let sandbox = guarded.map(|guarded| connect(guarded, &args)).transpose()?;
    let ready = |address: SocketAddr| {
        output::print(format!("{scheme}://{address}\n").as_bytes()).map_err(|error| error.message)
    };
    match http::serve(&config, sandbox, read_again, |address| ready(address).map_err(io::Error::other)) {
        Ok(Ended::Drained) => Ok(Status::Fine),
        Ok(Ended::GraceOver(lost)) => Err(CliError::failure(format!(
            "stopped with {lost} items unfinished after the grace period of {} s; give a longer --grace",
            args.grace.as_secs_f64()
        ))),
        Ok(Ended::Interrupted) => {
            Err(CliError { code: 130, message: "interrupted while finishing what was asked".into() })
        }
        Ok(Ended::Early(signal)) => Err(CliError {
            code: u8::try_from(128 + signal).unwrap_or(3),
            message: "stopped before the service was ready; nothing was served".into(),
        }),
        Err(ServeError::Usage(message)) => Err(CliError::usage(message)),
        Err(ServeError::Failed(message)) => Err(CliError::failure(message)),
    }
}

/// For SIGHUP: the same command line with the settings file and all other files as they are now.
fn read_again() -> Result<Config, String> {
    let parsed = super::parse(std::env::args_os().collect()).and_then(|parsed| match parsed {
        super::Parsed::Command(command) => match *command {
            super::Command::Serve(args) => config(&args),
            _ => Err(CliError::failure("this process serves, and its command line says otherwise")),
        },
        super::Parsed::Text(_) => {
            Err(CliError::failure("this process serves, and its command line asks for help"))
        }
    });
    parsed.map_err(|error| error.message)
}

/// For `assay config check`: whether a service would start with these settings, as far as its files and addresses go.
pub(crate) fn check(settings: &ArgMatches) -> Result<(), CliError> {
    let args = Args::from_arg_matches(settings).map_err(|error| CliError::usage(error.to_string()))?;
    http::refuse_open_address(&config(&args)?).map_err(CliError::usage)
}

/// Keeps SIGTERM and SIGINT waiting where the command line starts a server: the first thing of all, so that the
/// server always ends in the way its help says.
pub(crate) fn hold_signals() -> Result<(), CliError> {
    if std::env::args_os().nth(1).is_some_and(|command| command == "serve") {
        guardian::hold_stop_signals().map_err(unheld)?;
    }
    Ok(())
}

fn unheld(error: io::Error) -> CliError {
    CliError::failure(format!("cannot hold signals back: {error}"))
}

fn connect(guarded: Result<(), SandboxError>, args: &Args) -> Result<Sandbox, CliError> {
    guarded?;
    let config = SandboxConfig {
        slots: slots(args) + usize::from(args.sleepers),
        tier: args.tier,
        idleness: Some(http::note_idle),
        unwanted: Some(http::unwanted),
        ..SandboxConfig::default()
    };
    Sandbox::connect(&config)?.ok_or_else(|| {
        CliError::failure("the guardian started this process without a spawner; start `assay serve` again")
    })
}

fn config(args: &Args) -> Result<Config, CliError> {
    Ok(Config {
        listen: args.listen,
        tokens: args.token_file.as_deref().map(tokens).transpose()?.unwrap_or_default(),
        tls: tls(args)?,
        slots: slots(args),
        sleepers: args.sleepers.into(),
        queue: args.queue as usize,
        queue_deadline: args.queue_deadline,
        max_body: usize::try_from(args.max_body).unwrap_or(usize::MAX),
        max_bodies: usize::try_from(args.max_bodies).unwrap_or(usize::MAX),
        head_timeout: args.head_timeout,
        body_timeout: args.body_timeout,
        problems: args.problems.clone(),
        problems_size: args.problems_size,
        cache: args.cache as usize,
        cache_dir: args.cache_dir.clone(),
        max_time: args.max_time,
        max_memory: args.max_memory,
        max_output: args.max_output,
        grace: args.grace,
        log: args.log,
        log_level: args.log_level,
        otlp: args.otlp.clone(),
        in_process: args.in_process,
        until_stdin_closes: args.until_stdin_closes,
    })
}

fn slots(args: &Args) -> usize {
    if args.slots == 0 { Config::default().slots } else { args.slots.into() }
}

fn tls(args: &Args) -> Result<Option<Tls>, CliError> {
    let files = match (&args.tls_cert, &args.tls_key, &args.tls_client_ca) {
        (Some(cert), Some(key), client_ca) => {
            TlsFiles { cert: cert.clone(), key: key.clone(), client_ca: client_ca.clone() }
        }
        (None, None, None) => return Ok(None),
        _ => {
            return Err(CliError::usage(
                "TLS needs --tls-cert and --tls-key both; --tls-client-ca only adds to them",
            ));
        }
    };
    Tls::read(&files).map(Some).map_err(CliError::usage)
}

fn tokens(path: &Path) -> Result<Vec<Token>, CliError> {
    let bytes = read_file("the token file", path)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| CliError::usage(format!("token file {} is not UTF-8 text", path.display())))?;
    Token::read_all(&text).map_err(|what| CliError::usage(format!("token file {}: {what}", path.display())))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let expected = || "expected an IP address and a port, such as 127.0.0.1:8080 or [::1]:0".to_owned();
    let text = text.strip_prefix("localhost:").map_or(text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| expected())
}

fn http_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    host.then(|| text.to_owned())
        .ok_or_else(|| "expected an address such as http://127.0.0.1:4318".to_owned())
}

fn tier(text: &str) -> Result<Tier, String> {
    Tier::from_name(text).ok_or_else(|| "expected A, B, C, D or W".to_owned())
}
