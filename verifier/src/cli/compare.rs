//! `assay compare`: two runs of `assay grade`, paired by problem.

use std::fs;
use std::path::{Path, PathBuf};

use assay_verifier::report::{self, About, Graded, Side};
use serde_json::Value;

use super::ledger::{read_lines, replace};
use super::{CliError, Status, output, read_file};

/// Compare two runs of the same problems
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  assay compare results-before results-after\n  assay compare a b --html compare.html"
)]
pub(crate) struct Args {
    /// The results directory of the first run
    first: PathBuf,
    /// The results directory of the second run
    second: PathBuf,
    /// Write a page with all problems that went differently
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print one JSON value instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Status, CliError> {
    let (first, second) = (Run::read(&args.first)?, Run::read(&args.second)?);
    let result = report::compare(first.side(), second.side()).ok_or_else(|| {
        CliError::usage(format!(
            "{} and {} have no problem with verdicts in common; compare runs of the same problem file",
            args.first.display(),
            args.second.display()
        ))
    })?;
    if let Some(file) = &args.html {
        replace(file, result.html().as_bytes())?;
    }
    for warning in &result.warnings() {
        output::log(&format!("warning: {warning}"));
    }
    if args.json {
        output::print_json(&result.json())?;
        return Ok(Status::Fine);
    }
    const SHOWN: usize = 20;
    let rows: Vec<Vec<String>> = result
        .changes
        .iter()
        .take(SHOWN)
        .map(|change| {
            let of =
                |tried: assay_verifier::metrics::Tried| format!("{} of {}", tried.accepted, tried.samples);
            vec![change.question_id.clone(), of(change.tried.0), of(change.tried.1)]
        })
        .collect();
    let mut text = format!(
        "{}\n{} problems in both runs, {} in one only; only the first accepts {} samples, only the second {}\n",
        result.headline(),
        result.problems,
        result.unpaired,
        result.only.0,
        result.only.1
    );
    if !rows.is_empty() {
        text.push_str(&format!("\n{}", output::table(&["problem", "first", "second"], &rows)));
        if result.changes.len() > SHOWN {
            text.push_str(&format!("and {} more; --html or --json has all\n", result.changes.len() - SHOWN));
        }
    }
    output::print(text.as_bytes())?;
    Ok(Status::Fine)
}

/// A run as it lies on disk.
struct Run {
    name: String,
    graded: Vec<Graded>,
    about: Vec<About>,
    provenance: Value,
}

impl Run {
    fn read(folder: &Path) -> Result<Run, CliError> {
        let graded = folder.join("graded.jsonl");
        if fs::metadata(&graded).is_err() {
            return Err(CliError::usage(format!(
                "{} has no graded.jsonl; give the --out of `assay grade`",
                folder.display()
            )));
        }
        let path = folder.join("run.json");
        let provenance = serde_json::from_slice(&read_file("the conditions of the run", &path)?)
            .map_err(|error| CliError::usage(format!("{}: not JSON: {error}", path.display())))?;
        let about = read_lines(&folder.join("problems.jsonl"))?;
        Ok(Run { name: folder.display().to_string(), graded: read_lines(&graded)?, about, provenance })
    }

    fn side(&self) -> Side<'_> {
        Side { name: &self.name, graded: &self.graded, about: &self.about, provenance: &self.provenance }
    }
}
