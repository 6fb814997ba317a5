//! `assay math`: are these two answers the same?

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rules::{math_profile, math_tolerance};
use super::{CliError, Status, output};
use assay_verifier::math::{
    self, Extraction, Gold, MathProfile, MathResult, MathRules, MathVerdict, Prediction, Proof, ToleranceRule,
};

/// Compare math answers exactly
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE)]
pub(crate) struct Args {
    /// The right answer, LaTeX or plain text
    #[arg(required_unless_present = "pairs", conflicts_with = "pairs", allow_hyphen_values = true)]
    gold: Option<String>,
    /// The answer to grade
    #[arg(required_unless_present = "pairs", conflicts_with = "pairs", allow_hyphen_values = true)]
    answer: Option<String>,
    /// Grade a file of pairs, a JSON object {id, gold, pred, mode?} a line; `-` for standard input
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// Whose policies decide where mathematics alone does not: strict, math_verify, prm800k, qwen or acereason; or what a data
    /// set asks for: aime, math, gsm8k, olympiadbench or minerva
    #[arg(long, value_name = "PROFILE", default_value = "strict", value_parser = math_profile)]
    profile: MathRules,
    /// Take an unequal real number too where this condition holds, on the numbers gold and pred, gold_is_decimal,
    /// pred_is_decimal and gold_places
    #[arg(long, value_name = "RULE", value_parser = math_tolerance)]
    tolerance: Option<ToleranceRule>,
    /// Say how both answers were read, their canonical forms, and which tier decided
    #[arg(long, conflicts_with = "pairs")]
    explain: bool,
    /// Print one JSON object (with --pairs the output is always JSON Lines)
    #[arg(long)]
    json: bool,
}

const EPILOGUE: &str = "\
Examples:
  assay math '\\frac{1}{2}' 0.5
  assay math '\\sqrt{8}' '2\\sqrt{2}' --explain
  assay math 3.14 3.15 --tolerance 'math::abs(pred - gold) <= 0.01 * math::abs(gold)'
  assay math --pairs pairs.jsonl > verdicts.jsonl

Verdicts: equal, different, unsupported (the reason says of what: gold or answer), limit, no_answer.
In a file of pairs, pred is a completion whose last \\boxed{} is graded; with
\"mode\": \"answer\" it is the answer itself.
Each line of output holds {id, outcome, verdict, reason, proof, extraction, micros, steps}; pairs
per second go to stderr.
Exit code 0 if the two are equal or the whole file was graded, 1 if they are not equal, 2 for bad input.";

pub(crate) fn run(args: Args) -> Result<Status, CliError> {
    let mut profile = args.profile.profile();
    profile.tolerance = args.tolerance.or(profile.tolerance);
    match (args.pairs, args.gold, args.answer) {
        (Some(file), _, _) => grade_file(&file, &profile),
        (None, Some(gold), Some(answer)) => {
            let record = Record::of(Value::Null, &gold, Prediction::Answer(&answer), &profile);
            if args.json {
                output::print_json(&record)?;
            } else {
                output::print(record.for_people(args.explain, &gold, &answer, &profile).as_bytes())?;
            }
            Ok(if record.verdict == MathVerdict::Equal { Status::Fine } else { Status::CheckFailed })
        }
        _ => Err(CliError::usage("give GOLD and ANSWER, or --pairs FILE")),
    }
}

/// One pair of a file. Other fields (suite, source, expected) are for its owner.
#[derive(Debug, Deserialize)]
struct Pair {
    id: Value,
    gold: String,
    pred: String,
    #[serde(default)]
    mode: Mode,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Completion,
    Answer,
}

/// One graded pair.
#[derive(Debug, Serialize)]
struct Record {
    #[serde(skip_serializing_if = "Value::is_null")]
    id: Value,
    outcome: &'static str,
    verdict: MathVerdict,
    reason: String,
    proof: Option<Proof>,
    extraction: Extraction,
    /// Microseconds, to the nanosecond.
    micros: f64,
    steps: u64,
    #[serde(skip)]
    result: Option<MathResult>,
}

impl Record {
    fn of(id: Value, gold: &str, prediction: Prediction<'_>, profile: &MathProfile) -> Record {
        let start = Instant::now();
        let graded = Gold::parse(gold, profile).map(|gold| math::grade(&gold, prediction, profile));
        let micros = start.elapsed().as_nanos() as f64 / 1e3;
        match graded {
            Ok(result) => Record {
                id,
                outcome: "graded",
                verdict: result.verdict,
                reason: result.reason.clone().into_owned(),
                proof: result.proof,
                extraction: result.extraction,
                micros,
                steps: result.steps,
                result: Some(result),
            },
            Err(unreadable) => Record {
                id,
                outcome: "unsupported",
                verdict: MathVerdict::Unsupported,
                reason: format!("gold: {}", unreadable.reason),
                proof: None,
                extraction: Extraction::None,
                micros,
                steps: 0,
                result: None,
            },
        }
    }

    fn for_people(&self, explain: bool, gold: &str, answer: &str, profile: &MathProfile) -> String {
        let proof = self.proof.map_or(String::new(), |proof| format!(" ({proof})"));
        let mut text = format!("{}{proof}: {}\n", self.verdict.as_str(), self.reason);
        if explain {
            let tier = self.result.as_ref().map_or("parse", |result| result.tier.as_str());
            for (side, written) in [("gold", gold), ("answer", answer)] {
                match math::reading(written, profile) {
                    Ok(reading) => {
                        text.push_str(&format!("{side} read as {}: {}\n", reading.kind, reading.read_as));
                        if let Some(form) = reading.canonical {
                            text.push_str(&format!("{side} in canonical form: {form}\n"));
                        }
                    }
                    Err(unreadable) => text.push_str(&format!("{side} not read: {}\n", unreadable.reason)),
                }
            }
            text.push_str(&format!("decided by: {tier}\nprofile: {}\n", profile.name));
            text.push_str(&format!("time: {:.1} us, {} steps\n", self.micros, self.steps));
        }
        text
    }
}

fn grade_file(path: &Path, profile: &MathProfile) -> Result<Status, CliError> {
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| CliError::read("the file of pairs", path, &error))?)
    };
    let mut reader = BufReader::with_capacity(1 << 16, source);
    let mut lines = Lines { out: BufWriter::with_capacity(1 << 16, io::stdout().lock()), gone: false };
    let (mut line, mut number, mut graded, mut micros) = (Vec::new(), 0_u64, 0_u64, 0.0);
    let mut finish = Ok(());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        if read.map_err(|error| CliError::read("the file of pairs", path, &error))? == 0 || lines.gone {
            break;
        }
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let pair: Pair = match serde_json::from_slice(&line) {
            Ok(pair) => pair,
            Err(error) => {
                finish = Err(malformed(path, number, &error));
                break;
            }
        };
        let prediction = match pair.mode {
            Mode::Completion => Prediction::Completion(&pair.pred),
            Mode::Answer => Prediction::Answer(&pair.pred),
        };
        let record = Record::of(pair.id, &pair.gold, prediction, profile);
        graded += 1;
        micros += record.micros;
        lines.write(&record)?;
    }
    lines.flush()?;
    finish?;
    if graded == 0 {
        return Err(CliError::usage(format!(
            "{}: there are no pairs in it; write a JSON object {{\"id\": .., \"gold\": \"..\", \"pred\": \"..\"}} a line",
            path.display()
        )));
    }
    let seconds = f64::max(micros, 1.0) / 1e6;
    output::log(&format!(
        "{graded} pairs graded, {:.0} pairs per second of grading",
        graded as f64 / seconds
    ));
    Ok(Status::Fine)
}

fn malformed(path: &Path, line: u64, error: &serde_json::Error) -> CliError {
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or_default();
    CliError::usage(format!(
        "{}:{line}: {what}; expected a JSON object {{\"id\": .., \"gold\": \"..\", \"pred\": \"..\"}} and optionally \
         \"mode\": \"completion\" or \"answer\"",
        path.display()
    ))
}

/// JSON Lines on stdout; a reader that left ends the work without an error.
struct Lines<W: Write> {
    out: BufWriter<W>,
    gone: bool,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, record: &Record) -> Result<(), CliError> {
        let written = serde_json::to_writer(&mut self.out, record)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"));
        self.outcome(written)
    }

    fn flush(&mut self) -> Result<(), CliError> {
        let flushed = self.out.flush();
        self.outcome(flushed)
    }

    fn outcome(&mut self, result: io::Result<()>) -> Result<(), CliError> {
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            Err(error) => Err(output::stdout_failed(&error)),
        }
    }
}
