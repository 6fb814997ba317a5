//! `assay doctor`: what this machine offers, wall by wall and language by language, and what to install.

use assay_sandbox::{Doctor, Sandbox, SandboxConfig, SandboxError, Tier, Wall, WallState};
use serde_json::{Map, Value, json};

use super::output::{print, print_json, table};
use super::{CliError, Status, guard};

/// Show what this machine offers the sandbox, and what is missing
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE)]
pub(crate) struct Args {
    /// The least tier that is acceptable: A, B, C, D or W
    #[arg(long, value_name = "TIER", value_parser = tier)]
    tier: Option<Tier>,
    /// Print one JSON object instead of the tables
    #[arg(long)]
    json: bool,
}

const EPILOGUE: &str = "\
Tiers, best first:
  A  root and control groups of version 2
  B  root and control groups of version 1
  C  user namespaces without root: programs of one process, watched one by one
  D  a default container, neither namespaces nor control groups: no compiler
  W  no kernel walls: WebAssembly alone, and only where this tier was asked for

Exit code 0 if there is a tier (at least the one asked for) and the needed languages run (python3,
cpp17 and wasm), else 1. A file named in ASSAY_LANGUAGES adds languages of your own.
With --json: {ok, tier, walls: {name: state}, languages: {name: {version, ok}}}.";

pub(crate) fn run(args: &Args) -> Result<Status, CliError> {
    let doctor = examine(args.tier)?;
    let enough = match (doctor.tier, args.tier) {
        (found, None) => found.is_some(),
        // The best tier is the smallest.
        (found, Some(asked)) => found.is_some_and(|found| found <= asked),
    };
    let ok = enough && doctor.ok();
    if args.json {
        print_json(&record(&doctor, ok))?;
    } else {
        print(report(&doctor, args.tier.filter(|_| !enough)).as_bytes())?;
    }
    Ok(if ok { Status::Fine } else { Status::CheckFailed })
}

/// A machine that can hold nothing is a finding here, not a failure.
fn examine(asked: Option<Tier>) -> Result<Doctor, CliError> {
    // Only for the last tier is there a sandbox without walls; any other that is missed is reported with what there is.
    let tier = asked.filter(|tier| *tier == Tier::W);
    let config = SandboxConfig { slots: 1, tier, ..SandboxConfig::default() };
    let sandbox = guard().and_then(|()| Sandbox::connect(&config));
    match sandbox {
        Ok(Some(sandbox)) => Ok(sandbox.doctor()),
        Ok(None) => {
            Err(CliError::failure("the guardian started this process without a spawner; start it again"))
        }
        Err(SandboxError::Unavailable(why)) => {
            let wall = Wall { name: "sandbox".into(), state: WallState::Missing(why) };
            Ok(Doctor { tier: None, walls: vec![wall], languages: Vec::new() })
        }
        Err(error) => Err(error.into()),
    }
}

fn tier(name: &str) -> Result<Tier, String> {
    Tier::from_name(name).ok_or_else(|| "the tiers are A, B, C, D and W".into())
}

/// The record of `--json`.
fn record(doctor: &Doctor, ok: bool) -> Value {
    let walls: Map<String, Value> =
        doctor.walls.iter().map(|wall| (wall.name.clone(), json!(wall.state.describe()))).collect();
    let languages: Map<String, Value> = doctor
        .languages
        .iter()
        .map(|state| (state.language.name().into(), json!({ "version": state.version, "ok": state.ok })))
        .collect();
    json!({ "ok": ok, "tier": doctor.tier.map(Tier::name), "walls": walls, "languages": languages })
}

fn report(doctor: &Doctor, missed: Option<Tier>) -> String {
    let walls: Vec<Vec<String>> =
        doctor.walls.iter().map(|wall| vec![wall.name.clone(), wall.state.describe()]).collect();
    let languages: Vec<Vec<String>> = doctor
        .languages
        .iter()
        .map(|state| {
            let missing = if state.language.is_needed() { "missing" } else { "optional, missing" };
            let how = if state.ok { state.version.clone() } else { format!("{missing}: {}", state.hint) };
            vec![state.language.name().into(), how]
        })
        .collect();
    let tier = match doctor.tier {
        Some(tier) => format!("tier {tier}"),
        None => "no tier: this machine cannot hold untrusted code, and runs are refused, except those of WebAssembly \
                 with --tier W"
            .into(),
    };
    let mut text = format!(
        "{tier}\n\n{}\n{}",
        table(&["wall", "state"], &walls),
        table(&["language", "state"], &languages)
    );
    if let Some(asked) = missed {
        text.push_str(&format!("\ntier {asked} was asked for; the walls above say what would provide it\n"));
    }
    text
}
