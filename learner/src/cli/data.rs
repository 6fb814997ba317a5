//! `assay-train data`: the tools of `curate` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::curate::difficulty::{self, Ruler};
use crate::curate::ngrams::{self, decontaminate};
use crate::curate::passes::{self, rates};
use crate::curate::scaling::{self, Fit, Mix};
use crate::curate::{self, Files, Same, Sieved, each_line};
use crate::data::DataError;
use crate::progress::Progress;
use crate::tokenizer::Tokenizer;
use crate::train::TrainError;

/// Which tool.
#[derive(Debug, Subcommand)]
pub(super) enum Tool {
    /// Keep the first of rows that are equal but for case and white space
    Dedup(Dedup),
    /// Leave out rows that share a run of words with a test set
    Decontaminate(Decontaminate),
    /// Leave out prompts whose answers are short, and thin those that are not long
    Difficulty(Difficulty),
    /// Leave out what the policy solves too often or hardly ever
    Filter(Filter),
    /// Fit accuracy to log2(prompts) and log2(responses per prompt), as the paper does
    Scaling(Scaling),
}

#[derive(Debug, Args)]
struct Through {
    /// AceReason-SFT rows, chat messages, prompt and response, or problems: JSON Lines, a JSON array, or parquet
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// Where the rows that stay go, as JSON Lines
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where to note each row that goes: {"line", "id", "reason", "detail"}
    #[arg(long, value_name = "FILE")]
    dropped: Option<PathBuf>,
    /// Print the counts as one JSON value
    #[arg(long)]
    json: bool,
}

impl Through {
    fn files(&self) -> Files {
        Files { input: self.input.clone(), output: self.out.clone(), dropped: self.dropped.clone() }
    }
}

#[derive(Debug, Args)]
pub(super) struct Dedup {
    #[command(flatten)]
    through: Through,
    /// What makes two rows the same
    #[arg(long, value_enum, default_value_t = By::Prompt)]
    by: By,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// One row a prompt
    Prompt,
    /// A prompt may have several responses
    Response,
}

#[derive(Debug, Args)]
pub(super) struct Decontaminate {
    #[command(flatten)]
    through: Through,
    /// The test items, a file as --in; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    against: Vec<PathBuf>,
    /// The rules to begin with. math: 9 words. code: 14 words, URLs, nothing released from 2024-08-01 on
    #[arg(long, value_enum, default_value_t = Kind::Math)]
    rules: Kind,
    /// Words in a row that must not be shared, from 1 to 100
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    words: Option<u32>,
    /// Leave out rows that were released on this day (YYYY-MM-DD) or later
    #[arg(long, value_name = "DATE", value_parser = day)]
    released_before: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Math,
    Code,
}

#[derive(Debug, Args)]
pub(super) struct Difficulty {
    #[command(flatten)]
    through: Through,
    /// The field that holds an answer's length
    #[arg(long, value_name = "NAME", conflicts_with = "tokenizer")]
    tokens_field: Option<String>,
    /// A model's directory, whose tokenizer counts; without it and --tokens-field words are counted
    #[arg(long, value_name = "DIR")]
    tokenizer: Option<PathBuf>,
    /// Answers below this are short
    #[arg(long, value_name = "TOKENS", default_value_t = 2000.0, value_parser = length)]
    short: f64,
    /// Answers below this, and not short, are middling
    #[arg(long, value_name = "TOKENS", default_value_t = 4000.0, value_parser = length)]
    middling: f64,
    /// The part of the prompts with short answers that stays, from 0 to 1
    #[arg(long, value_name = "PART", default_value_t = 0.0, value_parser = part)]
    keep_short: f64,
    /// The part of the prompts with middling answers that stays
    #[arg(long, value_name = "PART", default_value_t = 0.5, value_parser = part)]
    keep_middling: f64,
    /// Which rows stay where only a part does
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct Filter {
    #[command(flatten)]
    through: Through,
    /// graded.jsonl of `assay grade`: the policy's tries at these problems
    #[arg(long, value_name = "FILE")]
    graded: PathBuf,
    /// Problems that are solved more often are too easy; the paper's is 6 of 16
    #[arg(long, value_name = "RATE", default_value_t = 0.375, value_parser = part)]
    most: f64,
    /// Problems that are solved less often are too hard; 0 keeps them all
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = part)]
    least: f64,
    /// The part of the too easy that stays all the same (Nemotron-Cascade: 0.01)
    #[arg(long, value_name = "PART", default_value_t = 0.0, value_parser = part)]
    readmit_easy: f64,
    /// The part of the too hard that does (Nemotron-Cascade: 0.1)
    #[arg(long, value_name = "PART", default_value_t = 0.0, value_parser = part)]
    readmit_hard: f64,
    /// Keep rows of which nothing was graded, instead of stopping at the first
    #[arg(long)]
    keep_unknown: bool,
    /// Which rows are readmitted
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct Scaling {
    /// A row for each trained mix: {"prompts": unique prompts, "responses": per prompt, "accuracy": percent}
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// Print the fit as one JSON value
    #[arg(long)]
    json: bool,
}

fn part(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "it must be from 0 to 1".to_owned())
}

fn length(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
    value.ok_or_else(|| "it must be a number from 0 on".to_owned())
}

fn day(text: &str) -> Result<String, String> {
    ngrams::day(text).ok_or_else(|| "it must be a day, as 2024-08-01".to_owned())
}

/// Runs a tool; what it says on stdout.
pub(super) fn run(tool: &Tool) -> Result<String, TrainError> {
    let progress = Progress::stderr();
    match tool {
        Tool::Dedup(args) => {
            let same = match args.by {
                By::Prompt => Same::Prompt,
                By::Response => Same::PromptAndResponse,
            };
            Ok(said(&args.through, &curate::dedup(&args.through.files(), same, &progress)?, None))
        }
        Tool::Decontaminate(args) => {
            let rules = match args.rules {
                Kind::Math => ngrams::Rules::math(),
                Kind::Code => ngrams::Rules::code(),
            };
            let words = args.words.map_or(rules.words, |words| words as usize);
            let released_before = args.released_before.clone().or(rules.released_before.clone());
            let rules = ngrams::Rules { words, released_before, ..rules };
            let sieved = decontaminate(&args.through.files(), &args.against, &rules, &progress)?;
            Ok(said(&args.through, &sieved, None))
        }
        Tool::Difficulty(args) => thin(args, &progress),
        Tool::Filter(args) => {
            let Filter { most, least, readmit_easy, readmit_hard, keep_unknown, .. } = *args;
            let rules = passes::Rules { most, least, readmit_easy, readmit_hard, keep_unknown };
            let rates = rates(&args.graded, &progress)?;
            let sieved = passes::filter(&args.through.files(), &rates, &rules, args.seed, &progress)?;
            Ok(said(&args.through, &sieved, None))
        }
        Tool::Scaling(args) => scaling(args),
    }
}

fn thin(args: &Difficulty, progress: &Progress) -> Result<String, TrainError> {
    let ruler = match (&args.tokens_field, &args.tokenizer) {
        (Some(field), _) => Ruler::Field(field.clone()),
        (None, Some(directory)) => Ruler::Tokens(Box::new(Tokenizer::load(directory)?)),
        (None, None) => Ruler::Words,
    };
    let Difficulty { short, middling, keep_short, keep_middling, .. } = *args;
    if short > middling {
        return Err(TrainError::Recipe(format!("--short is {short}, above --middling, which is {middling}")));
    }
    let rules = difficulty::Rules { short, middling, keep_short, keep_middling };
    let (sieved, lengths) = difficulty::thin(&args.through.files(), &ruler, &rules, args.seed, progress)?;
    Ok(said(&args.through, &sieved, Some(("prompts by length (short, middling, long)", json!(lengths)))))
}

/// The counts, as a table or as JSON.
fn said(through: &Through, sieved: &Sieved, more: Option<(&str, Value)>) -> String {
    if through.json {
        let mut value = json!(sieved);
        if let Some((_, more)) = more {
            value["prompts"] = more;
        }
        return super::line(&value);
    }
    let part = |count: usize| 100.0 * count as f64 / sieved.rows.max(1) as f64;
    let mut text =
        format!("{:>10}  rows\n{:>10}  kept ({:.1} %)\n", sieved.rows, sieved.kept, part(sieved.kept));
    for (reason, count) in &sieved.dropped {
        text += &format!("{count:>10}  {reason} ({:.1} %)\n", part(*count));
    }
    if let Some((name, more)) = more {
        text += &format!("{name}: {} before, {} after\n", more["before"], more["after"]);
    }
    text
}

fn scaling(args: &Scaling) -> Result<String, TrainError> {
    let mut mixes = Vec::new();
    each_line(&args.input, &Progress::quiet(), |line| {
        let mix: Mix = serde_json::from_value(line.value.clone()).map_err(|error| DataError::Line {
            path: args.input.clone(),
            line: line.number,
            what: format!("expected {{\"prompts\", \"responses\", \"accuracy\"}}: {error}"),
        })?;
        mixes.push(mix);
        Ok(())
    })?;
    let fit = scaling::fit(&mixes)
        .map_err(|what| TrainError::Recipe(format!("{}: {what}", args.input.display())))?;
    let (prompts, responses, r2) = scaling::PAPER;
    if args.json {
        let paper = json!({ "prompts": prompts, "responses": responses, "r2": r2 });
        return Ok(super::line(&json!({ "mixes": mixes.len(), "fit": fit, "paper": paper })));
    }
    let Fit { intercept, doubling_prompts, doubling_responses, .. } = fit;
    Ok(format!(
        "points of accuracy for a standard deviation, {} mixes\n\
         {:<28}{:>9} {:>9}\n{:<28}{:>9.3} {:>9.3}\n{:<28}{:>9.3} {:>9.3}\n{:<28}{:>9.3} {:>9.3}\n\
         {:<28}{intercept:>9.3}\n\
         twice as many prompts: {doubling_prompts:+.3} points; twice as many responses: {doubling_responses:+.3}\n",
        mixes.len(),
        "",
        "here",
        "paper",
        "log2(prompts)",
        fit.prompts,
        prompts,
        "log2(responses per prompt)",
        fit.responses,
        responses,
        "R2",
        fit.r2,
        r2,
        "accuracy at the means",
    ))
}
