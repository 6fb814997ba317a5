//! `assay-train plan`: what a recipe will take, and whether it fits.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cuda::{self, Stored};
use crate::plan::machine::{self, GpuModel, Machine};
use crate::plan::{Consumer, Part, Plan, gib, nearest, plan};
use crate::recipe::Recipe;
use crate::train::TrainError;

#[derive(Debug, Args)]
pub(super) struct PlanFor {
    /// The recipe, a TOML file
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,
    /// For a GPU that is not here: its memory as 80GiB, or h200, h100, a100, a100-40, l40s, rtx4090, l4
    #[arg(long, value_name = "SIZE")]
    pub(super) gpu: Option<GpuModel>,
    /// Memory of the host, as 128GiB, to be a bound; without a GPU it is this machine's
    #[arg(long, value_name = "SIZE", value_parser = machine::bytes)]
    ram: Option<u64>,
    /// Tokens of a completion that the time is counted with [default: each stage's greatest length]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=131_072))]
    mean_length: Option<u32>,
    /// Print the plan as one JSON value
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &PlanFor, stored: Stored) -> Result<(String, u8), TrainError> {
    let recipe = Recipe::load(&args.recipe)?;
    let machine = match (&args.gpu, cuda::used()?) {
        (Some(gpu), _) => Machine { host_bytes: args.ram, ..Machine::gpu(gpu, stored) },
        (None, Some(gpu)) => Machine { host_bytes: args.ram, ..Machine::this_gpu(&gpu, stored) },
        (None, None) => Machine::cpu(args.ram),
    };
    let mean_length = args.mean_length.map(|length| length as usize);
    let plan = plan(&recipe, &machine, mean_length).map_err(TrainError::Recipe)?;
    let name = args.recipe.display();
    if let Some(why) = &plan.refused {
        let what = match nearest(&recipe, &machine) {
            Some(changes) => format!("it fits with {changes}"),
            None => {
                "no change that plan knows is enough: take a smaller model or a larger machine".to_owned()
            }
        };
        return Err(TrainError::Recipe(format!("{name} does not fit: {why}; {what}")));
    }
    let text = if args.json { format!("{}\n", json!(plan)) } else { format!("{name}: {}", shown(&plan)) };
    Ok((text, 0))
}

fn shown(plan: &Plan) -> String {
    let Plan { machine, parameters, shape_from, prompt, .. } = plan;
    let billions = *parameters as f64 / 1e9;
    let stored = if machine.bytes_of_a_number == 2 { "bf16" } else { "f32" };
    let mut text = format!(
        "it fits\nfor       {}, {}; numbers stored as {stored}\nmodel     {billions:.3} billion parameters, by {shape_from}\n\
         prompts   up to {} tokens, by {}\n",
        machine.name,
        gib(machine.bytes),
        prompt.tokens,
        prompt.from
    );
    if let Some(row) = &plan.row {
        let _ = writeln!(text, "rows      up to {} tokens, by {}", row.tokens, row.from);
    }
    if let Some((part, _)) = plan.peak() {
        let _ = write!(text, "\nMemory of `{}`, which takes the most\n\n{}", part.name, table(part));
    }
    let host = match machine.gpu {
        true => format!("\nMemory of the host, {} in all\n\n{}", gib(plan.host_bytes()), listed(&plan.host)),
        false => String::from("\nMemory of the verifier beside it\n\n"),
    };
    let _ = writeln!(text, "{host}  {:<28} {:>10}  at most", "verifier", gib(plan.verifier));
    let floors = plan.parts.iter().filter_map(|part| Some((part, part.floor?)));
    let mut lines = String::new();
    for (part, floor) in floors {
        let (sample, update) = (floor.seconds_rollout, floor.seconds_update);
        let _ = writeln!(
            lines,
            "  {:<20} {:>10} = {:>9} sampling + {:>9} update; {} tokens a completion, {} at once",
            part.name,
            seconds(sample + update),
            seconds(sample),
            seconds(update),
            floor.completion_length,
            part.at_once
        );
    }
    if !lines.is_empty() {
        let (bytes, flops) = (machine.bytes_per_second / 1e9, machine.flops_per_second / 1e12);
        let _ = write!(
            text,
            "\nFloor of a step's time at {bytes:.0} GB/s and {flops:.2} TFLOP/s, without grading; no run reaches it\n\n{lines}"
        );
    }
    text
}

fn listed(consumers: &[Consumer]) -> String {
    consumers
        .iter()
        .map(|consumer| format!("  {:<28} {:>10}\n", consumer.name, gib(consumer.bytes)))
        .collect()
}

/// A column for each phase, a row for each consumer.
fn table(part: &Part) -> String {
    let mut names: Vec<&str> = Vec::new();
    for consumer in part.phases.iter().flat_map(|phase| &phase.consumers) {
        if !names.contains(&consumer.name) {
            names.push(consumer.name);
        }
    }
    let row = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!(" {cell:>17}")).collect();
        format!("  {name:<28}{cells}\n")
    };
    let mut text = row("", part.phases.iter().map(|phase| phase.name.to_owned()).collect());
    for name in names {
        let of = |consumers: &[Consumer]| {
            let found = consumers.iter().find(|consumer| consumer.name == name);
            found.map_or(String::new(), |consumer| gib(consumer.bytes))
        };
        text += &row(name, part.phases.iter().map(|phase| of(&phase.consumers)).collect());
    }
    text + &row("in all", part.phases.iter().map(|phase| gib(phase.bytes())).collect())
}

fn seconds(seconds: f64) -> String {
    match seconds {
        less if less < 100.0 => format!("{less:.1} s"),
        less if less < 6000.0 => format!("{:.0} min", less / 60.0),
        more => format!("{:.1} h", more / 3600.0),
    }
}
