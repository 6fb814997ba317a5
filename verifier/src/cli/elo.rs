//! `assay elo`: a rating from contests that people took part in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use assay_verifier::elo;
use assay_verifier::metrics::Tried;
use assay_verifier::report::{Graded, Outcome};

use super::ledger::read_lines;
use super::{CliError, Status, output, read_file};

/// Rate a run by contests that people took part in
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE)]
pub(crate) struct Args {
    /// The results directory of `assay grade`
    results: PathBuf,
    /// The contests: their problems and the people's results and ratings, as below
    #[arg(long, value_name = "FILE")]
    contests: PathBuf,
    /// Take problems that the run has no verdict on as not solved; without this their contests are left out
    #[arg(long)]
    allow_missing: bool,
    /// Print one JSON value instead of a table
    #[arg(long)]
    json: bool,
}

const EPILOGUE: &str = "\
The file of contests:
  {\"contests\": [{
    \"name\": \"Round 987\",
    \"scoring\": \"points\",           what a wrong submission costs: points, or minutes
    \"wrong_penalty\": 50,           how many; 50 points or 10 minutes when absent
    \"problems\": [{\"question_id\": \"1993_A\", \"points\": 500}, ...],     points: 1 when absent
    \"standings\": [{\"rating\": 1823, \"points\": 3120, \"minutes\": 0}, ...]   rating before the contest
  }]}

A problem with k of n samples accepted counts as solved after (n-k)/(k+1) wrong submissions if k is above 0. The rank among
the people follows from points (and minutes), and the rating R from rank = 1 + sum 1/(1 + 10^((R-r)/400)) over their ratings
r, ranks kept half a place from either end. The result is the mean over contests with its standard error.

Example:
  assay elo results --contests rounds.json";

pub(crate) fn run(args: &Args) -> Result<Status, CliError> {
    let path = args.results.join("graded.jsonl");
    let rows: Vec<Graded> = read_lines(&path)?;
    if rows.is_empty() {
        let folder = args.results.display();
        return Err(CliError::usage(format!(
            "{folder} has no graded samples; give the --out of `assay grade`"
        )));
    }
    let bytes = read_file("the contests", &args.contests)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string());
    let contests = text.and_then(elo::read).map_err(|what| {
        CliError::usage(format!("{}: {what}; `assay elo --help` shows the form", args.contests.display()))
    })?;
    let rated = elo::rate(&counts(&rows), &contests, args.allow_missing).ok_or_else(|| {
        CliError::usage(format!(
            "every contest of {} has a problem that {} has no verdict on; grade their problems, or take them as not solved \
             with --allow-missing",
            args.contests.display(),
            args.results.display()
        ))
    })?;
    for (contest, problem) in &rated.left_out {
        output::log(&format!(
            "warning: contest `{contest}` is left out: no verdict on its problem `{problem}`"
        ));
    }
    if args.json {
        output::print_json(&rated)?;
        return Ok(Status::Fine);
    }
    let rows: Vec<Vec<String>> = rated
        .contests
        .iter()
        .map(|contest| {
            vec![
                contest.name.clone(),
                format!("{} of {}", contest.solved, contest.problems),
                format!("{:.1}", contest.points),
                format!("{:.1} of {}", contest.rank, contest.people + 1),
                format!("{:.0}", contest.rating),
            ]
        })
        .collect();
    let table = output::table(&["contest", "solved", "points", "rank", "rating"], &rows);
    let text = format!(
        "Elo {:.0} (standard error {:.0} over {} contests), above {:.1} % of the people\n\n{table}",
        rated.rating,
        rated.standard_error,
        rated.contests.len(),
        100.0 * rated.percentile
    );
    output::print(text.as_bytes())?;
    Ok(Status::Fine)
}

fn counts(rows: &[Graded]) -> BTreeMap<&str, Tried> {
    let mut counts: BTreeMap<&str, Tried> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.outcome == Outcome::Graded) {
        let tried = counts.entry(&row.question_id).or_insert(Tried { samples: 0, accepted: 0 });
        tried.samples += 1;
        tried.accepted += usize::from(row.verdict.as_deref() == Some("accepted"));
    }
    counts
}
