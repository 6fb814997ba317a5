//! `assay merge`: the shards of one run become the run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use assay_verifier::report::{self, About, Conditions, Detail, Graded, Summary};
use assay_verifier::window::Window;
use serde_json::Value;

use super::ledger::{read_lines, replace, rewrite, write_json};
use super::{CliError, Status, output, read_file};

/// Join the shards of a run
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  assay merge shard-1 shard-2 --out results\n\nThen `assay grade PROBLEMS COMPLETIONS \
                        --out results --resume` adds LiveCodeBench's files; it judges nothing again."
)]
pub(crate) struct Args {
    /// The results directories of all shards
    #[arg(required = true)]
    shards: Vec<PathBuf>,
    /// Directory for the whole; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the report as one JSON value instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Status, CliError> {
    let provenance = whole(&args.shards)?;
    let (mut graded, mut details, mut seconds) = (Vec::<Graded>::new(), Vec::<Detail>::new(), 0.0);
    for shard in &args.shards {
        graded.extend(read_lines(&shard.join("graded.jsonl"))?);
        details.extend(read_lines(&shard.join("details.jsonl"))?);
        let report = report_of(shard)?;
        seconds += report["wall_seconds"].as_f64().unwrap_or_default();
    }
    let mut seen = HashSet::new();
    if let Some(twice) = graded.iter().find(|row| !seen.insert((row.question_id.clone(), row.sample))) {
        return Err(CliError::usage(format!(
            "problem `{}`, sample {} is in two shards; give each shard once",
            twice.question_id, twice.sample
        )));
    }
    if fs::metadata(args.out.join("graded.jsonl")).is_ok() {
        return Err(CliError::usage(format!(
            "{} already holds results; give a new --out",
            args.out.display()
        )));
    }
    fs::create_dir_all(&args.out).map_err(|error| CliError::write("the directory", &args.out, &error))?;
    let about: Vec<About> = read_lines(&args.shards[0].join("problems.jsonl"))?;
    rewrite(&args.out.join("problems.jsonl"), &about)?;
    rewrite(&args.out.join("details.jsonl"), &details)?;
    rewrite(&args.out.join("graded.jsonl"), &graded)?;
    write_json(&args.out.join("run.json"), &provenance)?;
    let by_sample: HashMap<(&str, usize), &Graded> =
        graded.iter().map(|row| ((row.question_id.as_str(), row.sample), row)).collect();
    let window: Window = serde_json::from_value(provenance["window"].clone()).unwrap_or_default();
    let mut summary = Summary::new(about, &window);
    for detail in &details {
        if let Some(graded) = by_sample.get(&(detail.question_id.as_str(), detail.sample)) {
            summary.add(graded, detail, String::new);
        }
    }
    let conditions =
        Conditions { provenance: &provenance, window: &window, wall_seconds: seconds, notes: &[] };
    let value = report::json(&summary, &conditions);
    write_json(&args.out.join("report.json"), &value)?;
    replace(&args.out.join("report.html"), report::html(&summary, &conditions).as_bytes())?;
    if args.json {
        output::print_json(&value)?;
    } else {
        let table = output::table(&["", "problems", "samples", "pass@1"], &report::table(&summary));
        output::print(format!("{}\n\n{table}", report::headline(&summary)).as_bytes())?;
    }
    Ok(Status::Fine)
}

/// The run's conditions, if these are its shards, all of them, and finished.
fn whole(shards: &[PathBuf]) -> Result<Value, CliError> {
    let mut parts = BTreeMap::new();
    let mut first: Option<Value> = None;
    for shard in shards {
        let mut run = read_json(&shard.join("run.json"))?;
        let part = run["shard"].as_str().unwrap_or_default().to_owned();
        run["shard"] = Value::Null;
        if let Some(first) = &first
            && let Some((key, _)) =
                run.as_object().into_iter().flatten().find(|(key, value)| first.get(key) != Some(value))
        {
            return Err(CliError::usage(format!(
                "{}: `{key}` differs from the first shard's; join shards of one run",
                shard.display()
            )));
        }
        first.get_or_insert(run);
        if let Some(other) = parts.insert(part.clone(), shard) {
            let (a, b) = (other.display(), shard.display());
            return Err(CliError::usage(format!(
                "{a} and {b} are both shard {part:?}; give each shard once"
            )));
        }
    }
    let count =
        parts.keys().next().and_then(|part| part.split_once('/')?.1.parse::<usize>().ok()).unwrap_or(0);
    let missing: Vec<String> =
        (1..=count).map(|i| format!("{i}/{count}")).filter(|part| !parts.contains_key(part)).collect();
    if count == 0 || !missing.is_empty() || parts.len() != count {
        return Err(CliError::usage(format!(
            "these are not all shards of one run: found {}, missing {}",
            parts.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
            if missing.is_empty() { "none of that run".to_owned() } else { missing.join(", ") }
        )));
    }
    Ok(first.unwrap_or_default())
}

fn report_of(shard: &Path) -> Result<Value, CliError> {
    let path = shard.join("report.json");
    if fs::metadata(&path).is_err() {
        return Err(CliError::usage(format!(
            "{} is not finished; go on with --resume there first",
            shard.display()
        )));
    }
    read_json(&path)
}

fn read_json(path: &Path) -> Result<Value, CliError> {
    serde_json::from_slice(&read_file("a shard's results", path)?)
        .map_err(|error| CliError::usage(format!("{}: not JSON: {error}", path.display())))
}
