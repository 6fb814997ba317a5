//! `assay merge`: the shards of one run become the run.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use assay_testsets::{MathTask, Problem, Task};
use assay_verifier::report::{self, Detail, Graded, Run};
use serde::{Deserialize, Serialize};
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

/// What a report says of a problem beside its verdicts: a line of `problems.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct About {
    question_id: String,
    difficulty: Option<String>,
    platform: Option<String>,
    contest_date: Option<String>,
}

impl About {
    pub(crate) fn of(problem: &Problem) -> About {
        About {
            question_id: problem.question_id.clone(),
            difficulty: problem.difficulty.clone(),
            platform: problem.platform.clone(),
            contest_date: problem.contest_date.clone(),
        }
    }

    /// A problem that can be counted and grouped, and no more.
    fn problem(self) -> Problem {
        Problem {
            question_id: self.question_id,
            prompt: String::new(),
            task: Task::Math(MathTask { ground_truth: String::new() }),
            difficulty: self.difficulty,
            platform: self.platform,
            contest_date: self.contest_date,
        }
    }
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
    let problems: Vec<Problem> = about.into_iter().map(About::problem).collect();
    let run = Run { problems: &problems, graded: &graded, details: &details, provenance: &provenance };
    let value = report::json(&run, seconds);
    write_json(&args.out.join("report.json"), &value)?;
    replace(&args.out.join("report.html"), report::html(&run, |_, _| String::new()).as_bytes())?;
    if args.json {
        output::print_json(&value)?;
    } else {
        let table = output::table(&["", "problems", "samples", "pass@1"], &report::table(&run));
        output::print(format!("{}\n\n{table}", report::headline(&run)).as_bytes())?;
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
