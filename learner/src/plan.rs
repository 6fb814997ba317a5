//! What a recipe will take before it takes it: memory by phase and consumer, and the least time a step can have.
//!
//! # Theory of operation
//! A step has two phases that do not share memory: completions are sampled, and the policy is updated. Of the update the
//! greatest of three moments counts: the head, the first layer to go backward, the optimizer. Every size comes from the code
//! that takes it (`Moments::bytes`, `Pass`, `page_bytes`, the bounds of sampler and policy), so a plan changes with them;
//! `tests/plan.rs` compares it with what a run takes. Completions are taken to be as long as the stage allows: so long they
//! may become, all at once.
//!
//! The floor of time is what the sums and the bytes alone cost at the peaks of the machine. No run reaches it, and grading
//! is not in it.

pub mod machine;
mod nearest;
mod shapes;
mod time;

use candle_core::DType;
use serde::Serialize;

pub use self::machine::Machine;
pub use self::nearest::nearest;
use self::shapes::Shape;
pub use self::time::Floor;
use crate::data::{self, Sources};
use crate::model::memory::{Backward, Pass};
use crate::model::{Config, shapes as parameter_shapes};
use crate::policy::TOKENS_AT_ONCE;
use crate::recipe::{Memory, Recipe, Sft, Stage};
use crate::sampler::Cache;
use crate::sampler::pages::{SHARE, page_bytes};
use crate::sampler::scheduler::{LOGITS, LOGITS_OF_GPU, PREFILL};
use crate::tasks::Family;
use crate::temperature::Mode;

/// The plan of a recipe for a machine.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// What it is planned for.
    pub machine: Machine,
    /// Numbers of the model.
    pub parameters: usize,
    /// Where the model's shape comes from.
    pub shape_from: String,
    /// Tokens of the longest prompt, and how that is known.
    pub prompt: Prompt,
    /// The same of the longest row of SFT, prompt and completion, where there is an SFT.
    pub row: Option<Prompt>,
    /// The parts of the run, in order.
    pub parts: Vec<Part>,
    /// Of the host of a GPU; of a CPU it is what the phases take.
    pub host: Vec<Consumer>,
    /// Bytes of our own verifier at most; of a CPU's memory, too.
    pub verifier: u64,
    /// Why the run cannot be, if it cannot.
    pub refused: Option<String>,
}

/// How long prompts are, or rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prompt {
    /// Tokens of the longest.
    pub tokens: usize,
    /// How that is known.
    pub from: &'static str,
}

/// A stage, or the SFT before.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Its name in the recipe, or `sft`.
    pub name: String,
    /// What memory goes to, phase by phase.
    pub phases: Vec<Phase>,
    /// Tokens whose keys and values are kept at once, where there is sampling.
    pub cache_tokens: usize,
    /// Completions of full length that these are.
    pub at_once: usize,
    /// The least time of a step, of a stage.
    pub floor: Option<Floor>,
}

/// A moment and what memory goes to in it.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    /// `sampling`, or `update:` with the moment.
    pub name: &'static str,
    /// All of them add up.
    pub consumers: Vec<Consumer>,
}

/// Bytes and what they are for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Consumer {
    /// What for.
    pub name: &'static str,
    /// How many.
    pub bytes: u64,
}

fn consumer(name: &'static str, bytes: usize) -> Consumer {
    Consumer { name, bytes: bytes as u64 }
}

impl Phase {
    /// All its bytes.
    pub fn bytes(&self) -> u64 {
        self.consumers.iter().map(|consumer| consumer.bytes).sum()
    }
}

impl Plan {
    /// The greatest phase of all, with the name of its part.
    pub fn peak(&self) -> Option<(&Part, &Phase)> {
        let all = self.parts.iter().flat_map(|part| part.phases.iter().map(move |phase| (part, phase)));
        all.max_by_key(|(_, phase)| phase.bytes())
    }

    /// Bytes of the host's memory, the verifier's among them.
    pub fn host_bytes(&self) -> u64 {
        let own: u64 = match self.machine.gpu {
            true => self.host.iter().map(|consumer| consumer.bytes).sum(),
            false => self.peak().map_or(0, |(_, phase)| phase.bytes()),
        };
        own + self.verifier
    }
}

/// What a program takes before it has a model: its own pages, threads' stacks, and what products are packed in.
const PROGRAM: usize = 24 << 20;
/// A GPU's context, modules, cuBLAS's workspace, and what its allocator cannot give back: assumed, not measured.
const CONTEXT: usize = 1 << 30;
/// Tokens of a prompt, where nobody can know them yet.
const ASSUMED_PROMPT: usize = 1024;
/// In the vocabularies of language models.
const BYTES_OF_A_TOKEN: usize = 3;
/// Bytes of a file of rows, up to which it is read for its longest.
const MOST_ROWS_READ: u64 = 64 << 20;
/// Bytes of a row beside its texts: its strings and messages, and what the allocator adds to each.
const ROW: usize = 256;
/// Times a packed file's bytes that its rows have, where it is not read.
const UNPACKED: usize = 4;
const ROWS: &str = "rows of the file";

/// Plans a recipe for a machine; `mean_length` tokens a completion are what the floor of time is counted with, the most
/// there may be unless given.
///
/// # Errors
/// The shape of the model is not known: why, in words.
pub fn plan(recipe: &Recipe, machine: &Machine, mean_length: Option<usize>) -> Result<Plan, String> {
    let shape = Shape::of(&recipe.model)?;
    Ok(of_shape(recipe, machine, &shape, mean_length))
}

fn of_shape(recipe: &Recipe, machine: &Machine, shape: &Shape, mean_length: Option<usize>) -> Plan {
    let planner = Planner::new(recipe, machine, &shape.config);
    let sft = recipe.sft.iter().map(|sft| planner.sft(sft));
    let stages = recipe.rl.iter().map(|stage| planner.stage(stage, mean_length));
    let mut plan = Plan {
        machine: machine.clone(),
        parameters: shape.config.parameter_count(),
        shape_from: shape.from.clone(),
        prompt: planner.prompt.clone(),
        row: planner.rows.as_ref().map(|rows| rows.longest.clone()),
        parts: sft.chain(stages).collect(),
        host: planner.host(),
        verifier: planner.verifier(),
        refused: None,
    };
    plan.refused = planner.refused(&plan);
    plan
}

/// What all parts of a plan have in common.
struct Planner<'a> {
    recipe: &'a Recipe,
    machine: &'a Machine,
    config: &'a Config,
    prompt: Prompt,
    /// Of SFT, where there is one.
    rows: Option<Rows>,
    /// Whether any problem may ask for a program.
    code: bool,
    size: usize,
    weights: Consumer,
    /// Of a low-rank adapter, where there is one.
    adapter: Option<Consumer>,
    /// Numbers that are trained.
    trained: usize,
    /// Bytes of the optimizer's states.
    states: usize,
    /// Numbers of the largest tensor that is trained.
    largest: usize,
}

/// Some completions that are sampled together.
struct Sampled {
    groups: usize,
    each: usize,
    completion: usize,
}

impl<'a> Planner<'a> {
    fn new(recipe: &'a Recipe, machine: &'a Machine, config: &'a Config) -> Planner<'a> {
        let size = machine.bytes_of_a_number;
        let stored = if size == 2 { DType::BF16 } else { DType::F32 };
        let lora = recipe.lora.as_ref().map(|lora| lora.form().shapes(config));
        let adapted = lora.is_some();
        let tensors = lora.unwrap_or_else(|| parameter_shapes(config));
        let numbers: Vec<usize> = tensors.iter().map(|(_, shape)| shape.iter().product()).collect();
        let trained: usize = numbers.iter().sum();
        let (prompt, code) = prompts(recipe);
        Planner {
            recipe,
            machine,
            config,
            prompt,
            rows: recipe.sft.as_ref().map(|sft| Rows::of(recipe, sft, config)),
            code,
            size,
            weights: consumer("weights", config.parameter_count() * size),
            adapter: adapted.then(|| consumer("adapter", trained * size)),
            trained,
            states: numbers.iter().map(|count| recipe.adamw.moments.bytes(*count, stored)).sum(),
            largest: numbers.iter().copied().max().unwrap_or(0),
        }
    }

    /// What is there in every phase: program, weights, an adapter on them, the optimizer's states, and a policy to keep near to,
    /// of which under an adapter only the adapter is its own.
    fn always(&self) -> Vec<Consumer> {
        let reference = self.recipe.rl.iter().any(|stage| stage.loss.kl.coefficient > 0.0);
        let (name, program) =
            if self.machine.gpu { ("context of CUDA", CONTEXT) } else { ("program", PROGRAM) };
        let mut all = vec![consumer(name, program), self.weights.clone()];
        all.extend(self.adapter.clone());
        if !(self.machine.gpu && self.recipe.adamw.moments.in_host_memory()) {
            all.push(consumer("optimizer states", self.states));
        }
        if reference {
            let own = self.adapter.as_ref().unwrap_or(&self.weights);
            all.push(Consumer { name: "reference policy", ..*own });
        }
        all
    }

    fn pass(&self, tokens: usize, targets: usize) -> Pass {
        Pass { tokens, targets, size: self.size, on_gpu: self.machine.gpu }
    }

    fn backward(&self, tokens: usize, targets: usize) -> Backward {
        self.pass(tokens, targets).backward(self.config, self.recipe.model.max_activation_bytes)
    }

    fn sft(&self, sft: &Sft) -> Part {
        let rows = sft.rows.values().sum::<usize>() + sft.file_rows;
        let (row, held) = self.rows.as_ref().map_or((1, 0), |rows| (rows.longest.tokens, rows.bytes));
        let tokens = together(rows, row);
        let mut phases = self.update(tokens, tokens);
        if held > 0 && !self.machine.gpu {
            phases.iter_mut().for_each(|phase| phase.consumers.push(consumer(ROWS, held)));
        }
        Part { name: "sft".to_owned(), phases, cache_tokens: 0, at_once: 0, floor: None }
    }

    fn stage(&self, stage: &Stage, mean_length: Option<usize>) -> Part {
        let length = self.prompt.tokens + stage.max_completion_length;
        let completions = stage.prompts_per_step() * stage.rollouts;
        let tokens = together(completions, length);
        let targets = tokens.min(tokens.div_ceil(length) * stage.max_completion_length);
        let (sampling, cache_tokens) = self.sampling(stage);
        let phases = [sampling].into_iter().chain(self.update(tokens, targets));
        let at_once = (cache_tokens / length).min(self.recipe.sampler.max_batch).min(completions);
        let mut part =
            Part { name: stage.name.clone(), phases: phases.collect(), cache_tokens, at_once, floor: None };
        let again = self.backward(tokens, tokens).again;
        part.floor = Some(self.floor(stage, mean_length, at_once.max(1), again));
        part
    }

    /// The sampling of a stage, of its calibration or of its evaluation, whichever takes the most; and the tokens kept.
    fn sampling(&self, stage: &Stage) -> (Phase, usize) {
        let prompts = stage.prompts_per_step();
        let completion = stage.max_completion_length;
        let mut all = vec![Sampled { groups: prompts, each: stage.rollouts, completion }];
        if stage.temperature.mode != Mode::Fixed {
            all.push(Sampled {
                groups: stage.temperature.probe.next_multiple_of(prompts),
                each: 1,
                completion,
            });
        }
        let eval = &self.recipe.eval;
        if eval.every > 0 {
            let groups = eval.problems.values().sum();
            all.push(Sampled { groups, each: eval.samples, completion: eval.max_completion_length });
        }
        let all = all.into_iter().map(|sampled| self.sample(&sampled));
        all.max_by_key(|(phase, _)| phase.bytes())
            .unwrap_or_else(|| self.sample(&Sampled { groups: 1, each: 1, completion: 1 }))
    }

    fn sample(&self, sampled: &Sampled) -> (Phase, usize) {
        let Sampled { groups, each, completion } = *sampled;
        let page = Cache::default().page;
        let prompt = self.prompt.tokens;
        let rows = self.recipe.sampler.max_batch.min(groups * each);
        // The last token is drawn and not kept.
        let (whole, of_row) = (prompt / page, (prompt + completion - 1).div_ceil(page));
        let groups = groups.min(rows.div_ceil(each));
        let mut pages = groups * whole + rows * (of_row - whole);
        pages = pages.min(self.recipe.sampler.cache().tokens / page);
        let bytes =
            page_bytes((self.config.num_hidden_layers, self.config.key_value_size()), page, self.size);
        let mut consumers = self.always();
        if self.machine.gpu {
            // Made at once, of what is free.
            let taken: u64 = consumers.iter().map(|consumer| consumer.bytes).sum();
            let room = self.machine.bytes.saturating_sub(taken) as f64 * SHARE;
            let longest = self.recipe.sampler.max_batch.saturating_mul(self.config.max_position_embeddings);
            let most = self.recipe.sampler.cache().tokens.min(longest).div_ceil(page);
            pages = most.min(room as usize / bytes.max(1));
        }
        let logits = if self.machine.gpu { LOGITS_OF_GPU } else { LOGITS };
        let decode = self.pass(rows, rows).decode(self.config, logits);
        let together = groups.min((PREFILL / prompt).max(1));
        let [left, layer] = self.pass(together * prompt, 0).prefill(self.config);
        // While prompts are computed the pages of completions are not there yet, unless all are made at once.
        let begun = (groups * prompt.div_ceil(page)).min(pages) * bytes;
        let moments = [
            (pages * bytes, "logits and a token of each", decode),
            (begun, "prompts computed", left + layer),
        ];
        let (kept, name, work) = match self.machine.gpu {
            true => (pages * bytes, "prompts and logits", decode.max(left + layer)),
            false => moments.into_iter().max_by_key(|(kept, _, work)| kept + work).unwrap_or_default(),
        };
        consumers.push(consumer("keys and values", kept));
        consumers.push(consumer(name, work));
        (Phase { name: "sampling", consumers }, pages * page)
    }

    /// The three moments of an update that takes so many tokens at once.
    fn update(&self, tokens: usize, targets: usize) -> Vec<Phase> {
        let backward = self.backward(tokens, targets);
        let moment = |name: &'static str, more: Vec<Consumer>| {
            let mut consumers = self.always();
            consumers.push(consumer("gradients", self.trained * size_of::<f32>()));
            consumers.extend(more);
            Phase { name, consumers }
        };
        let kept = || consumer("activations kept", backward.kept);
        // A tensor that goes to the host, or comes from there.
        let staged = if self.machine.gpu && self.recipe.adamw.moments.in_host_memory() {
            vec![consumer("a tensor on its way", self.largest * size_of::<f32>())]
        } else {
            Vec::new()
        };
        vec![
            moment("update: head", vec![kept(), consumer("logits of a chunk", backward.head)]),
            moment("update: layers", vec![kept(), consumer("a layer going backward", backward.layer)]),
            moment("update: optimizer", staged),
        ]
    }

    /// What a GPU's host keeps.
    fn host(&self) -> Vec<Consumer> {
        if !self.machine.gpu {
            return Vec::new();
        }
        // Of a tensor that is loaded, saved or updated here there are up to three copies: as its file has it, as f32, and as
        // the GPU has it. A fresh model is made whole before it goes there.
        let own =
            parameter_shapes(self.config).iter().map(|(_, shape)| shape.iter().product::<usize>()).max();
        let fresh = if self.recipe.model.load.is_none() { self.config.parameter_count() } else { 0 };
        let numbers = fresh.max(3 * own.unwrap_or(0));
        let tensors = consumer("tensors on their way", numbers * size_of::<f32>());
        let mut all = vec![consumer("program", PROGRAM), tensors];
        if self.recipe.adamw.moments.in_host_memory() {
            all.push(consumer("optimizer states", self.states));
        }
        all.extend(self.rows.iter().filter(|rows| rows.bytes > 0).map(|rows| consumer(ROWS, rows.bytes)));
        all
    }

    /// What our own verifier may take at most: every slot a program of its greatest memory.
    fn verifier(&self) -> u64 {
        if self.recipe.rl.is_empty() || !self.recipe.rewards.urls.is_empty() {
            return 0;
        }
        let judges = self.recipe.memory.judges(self.recipe.cores.judges()) as u64;
        let programs = if self.code { judges * Memory::program_bytes() } else { 0 };
        Memory::VERIFIER_BYTES + programs
    }

    fn refused(&self, plan: &Plan) -> Option<String> {
        let machine = self.machine;
        if let Some(what) = self.recipe.adamw.moments.mistake(machine.gpu) {
            return Some(what.to_owned());
        }
        if let Some((part, phase)) = plan.peak().filter(|(_, phase)| phase.bytes() > machine.bytes) {
            let (needed, there) = (gib(phase.bytes()), gib(machine.bytes));
            return Some(format!("{} of `{}` takes {needed}, and there are {there}", phase.name, part.name));
        }
        if let Some(part) = plan.parts.iter().find(|part| part.floor.is_some() && part.at_once == 0) {
            return Some(format!(
                "the keys and values of `{}` have room for {} tokens, less than one completion has",
                part.name, part.cache_tokens
            ));
        }
        let host = plan.host_bytes();
        let bound = machine.host_bytes.filter(|bound| host > *bound)?;
        Some(format!(
            "trainer and verifier take {} of the host's memory, which has {}",
            gib(host),
            gib(bound)
        ))
    }
}

/// Tokens that go through the model together, of sequences up to so long: whole ones up to a bound, or one that is longer.
/// Shorter ones beside the longest fill what it leaves.
fn together(sequences: usize, length: usize) -> usize {
    TOKENS_AT_ONCE.min(sequences * length).max(length)
}

/// The rows of an SFT, as far as they can be known in a moment.
struct Rows {
    longest: Prompt,
    /// Bytes of those of its file, all of which are held.
    bytes: usize,
}

impl Rows {
    fn of(recipe: &Recipe, sft: &Sft, config: &Config) -> Rows {
        // Longer ones are left out, or refused.
        let most = config.max_position_embeddings.min(sft.max_length.unwrap_or(usize::MAX));
        let row = |tokens: usize, from| Prompt { tokens: most.min(tokens), from };
        let Some(path) = &sft.file else { return Rows { longest: row(most, "the context"), bytes: 0 } };
        let size = path.metadata().map_or(0, |file| file.len());
        let read = if size < MOST_ROWS_READ { data::read_rows(path).unwrap_or_default() } else { Vec::new() };
        let completion = recipe.rl.iter().map(|stage| stage.max_completion_length).max();
        let longest = match (read.iter().map(data::Row::bytes).max(), &recipe.model.load, completion) {
            (Some(bytes), Some(_), _) => {
                row(bytes.div_ceil(BYTES_OF_A_TOKEN) + TEMPLATE, "the file, three bytes a token")
            }
            // A fresh model's tokens are bytes, and there is one for the end.
            (Some(bytes), None, _) => row(bytes + 1, "the file, a byte a token"),
            (None, _, _) if sft.max_length.is_some() => row(most, "sft.max_length"),
            (None, _, Some(tokens)) => row(tokens, "the longest completion, as the file is not read"),
            (None, _, None) => row(most, "the context, as the file is not read"),
        };
        let plain = path.extension().is_some_and(|extension| extension == "jsonl" || extension == "json");
        let bytes = match read.is_empty() {
            true => size as usize * if plain { 1 } else { UNPACKED },
            false => read.iter().map(|row| row.bytes() + ROW).sum(),
        };
        Rows { longest, bytes }
    }
}

/// The longest prompt of a recipe, and whether a problem asks for a program, as far as its files are there.
fn prompts(recipe: &Recipe) -> (Prompt, bool) {
    let names = recipe.rl.iter().flat_map(|stage| stage.prompts.keys()).chain(recipe.eval.problems.keys());
    let names: std::collections::BTreeSet<&String> = names.collect();
    let families: Vec<Family> = names.iter().filter_map(|name| Family::named(name)).collect();
    let code = families.contains(&Family::Programs);
    let own = families.iter().map(|family| family.longest_prompt().len()).max().unwrap_or(0);
    if families.len() == names.len() {
        return (Prompt { tokens: own.max(1), from: "the families" }, code);
    }
    let mut used = recipe.clone();
    used.problems.retain(|name, _| names.contains(name));
    let Ok(sources) = Sources::load(&used) else {
        return (Prompt { tokens: ASSUMED_PROMPT, from: "nothing: problem files are not there" }, true);
    };
    let (bytes, programs) =
        sources.longest(&recipe.templates, recipe.model.load.as_ref().map_or(1, |_| BYTES_OF_A_TOKEN));
    let prompt = match (&recipe.model.load, &recipe.model.system_prompt) {
        (None, _) => Prompt { tokens: own.max(bytes), from: "the files, a byte a token" },
        (Some(_), system) => {
            let bytes = bytes + system.as_ref().map_or(0, String::len);
            Prompt {
                tokens: own.max(bytes.div_ceil(BYTES_OF_A_TOKEN)) + TEMPLATE,
                from: "the files, three bytes a token",
            }
        }
    };
    (prompt, code || programs)
}

/// Tokens of a chat template around a prompt.
const TEMPLATE: usize = 16;

/// Bytes for people.
pub fn gib(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1 << 30);
    if gib < 1.0 { format!("{:.0} MiB", gib * 1024.0) } else { format!("{gib:.1} GiB") }
}

#[cfg(test)]
mod tests;
