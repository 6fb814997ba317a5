//! The recipe nearest to one that does not fit: the first of some changes, the mildest first, with which it does.

use super::shapes::{Shape, family};
use super::{Machine, of_shape};
use crate::cuda::{self, Stored};
use crate::model::ACTIVATION_BYTES;
use crate::optim::Moments;
use crate::recipe::{LoraSettings, Recipe};

/// A recipe, its machine and its model, and what was changed in them, in words.
#[derive(Clone)]
struct Candidate {
    recipe: Recipe,
    machine: Machine,
    shape: Shape,
    words: Vec<String>,
}

impl Candidate {
    fn fits(&self) -> bool {
        of_shape(&self.recipe, &self.machine, &self.shape, None).refused.is_none()
    }

    /// With a change; one of the same key before it is no longer said.
    fn with(&self, words: impl Into<String>, change: impl FnOnce(&mut Candidate)) -> Candidate {
        let words = words.into();
        let key = |words: &str| words.split(" = ").next().map(str::to_owned);
        let mut changed = self.clone();
        changed.words.retain(|before| key(before) != key(&words));
        changed.words.push(words);
        change(&mut changed);
        changed
    }
}

/// What to change so that the recipe fits, in words; `None` where none of the changes is enough.
pub fn nearest(recipe: &Recipe, machine: &Machine) -> Option<String> {
    let shape = Shape::of(&recipe.model).ok()?;
    let mut start = Candidate { recipe: recipe.clone(), machine: machine.clone(), shape, words: Vec::new() };
    // What cannot be on such a machine, however large it is, is changed whatever else is.
    if recipe.adamw.moments.mistake(machine.gpu).is_some() {
        start = start.with("adamw.moments = \"f32\"", |start| start.recipe.adamw.moments = Moments::F32);
    }
    let frugal = frugal(&start);
    // One change alone, then all that cost no quality, then an adapter, then shorter completions, then a smaller model.
    let mut candidates: Vec<Candidate> = [start.clone()].into_iter().chain(frugal.clone()).collect();
    let all = frugal.last().cloned().unwrap_or(start.clone());
    candidates.extend(adapted(&start));
    candidates.extend(adapted(&all));
    candidates.extend(shorter(&start));
    candidates.extend(shorter(&all));
    candidates.extend(adapted(&all).iter().flat_map(shorter));
    candidates.extend(smaller(&all));
    candidates.extend(smaller(&all).iter().flat_map(shorter));
    Some(candidates.into_iter().find(Candidate::fits)?.words.join(", "))
}

/// Each of the changes that cost no quality to speak of alone, and at the end all of them.
fn frugal(start: &Candidate) -> Vec<Candidate> {
    type Change = (&'static str, fn(&mut Candidate));
    let mut changes: Vec<Change> = Vec::new();
    if start.machine.gpu && start.machine.bytes_of_a_number > 2 {
        changes.push(("--precision bf16", |candidate| {
            candidate.machine.bytes_of_a_number = cuda::dtype(Stored::Bf16).size_in_bytes();
        }));
    }
    if start.machine.gpu && !start.recipe.adamw.moments.in_host_memory() {
        changes
            .push(("adamw.moments = \"host\"", |candidate| candidate.recipe.adamw.moments = Moments::Host));
    }
    if start.recipe.model.max_activation_bytes > ACTIVATION_BYTES {
        changes.push(("model.max_activation_bytes = 2147483648", |candidate| {
            candidate.recipe.model.max_activation_bytes = ACTIVATION_BYTES;
        }));
    }
    if !start.machine.gpu && start.recipe.adamw.moments != Moments::Blocks {
        changes
            .push(("adamw.moments = \"8bit\"", |candidate| candidate.recipe.adamw.moments = Moments::Blocks));
    }
    if !start.machine.gpu {
        changes.push(("sampler.max_batch = 32", |candidate| {
            let most = &mut candidate.recipe.sampler.max_batch;
            *most = 32.min(*most);
        }));
    }
    let mut candidates: Vec<Candidate> =
        changes.iter().map(|(words, change)| start.with(*words, change)).collect();
    if changes.len() > 1 {
        let all =
            changes.iter().fold(start.clone(), |candidate, (words, change)| candidate.with(*words, change));
        candidates.push(all);
    }
    candidates
}

/// A low-rank adapter in place of all weights.
fn adapted(start: &Candidate) -> Option<Candidate> {
    let may = start.recipe.lora.is_none() && start.recipe.model.load.is_some();
    may.then(|| {
        start.with("a [lora] table and a learning rate for it", |candidate| {
            candidate.recipe.lora = Some(LoraSettings::default());
            // Its states are small wherever they are.
            candidate.recipe.adamw.moments = Moments::F32;
        })
    })
}

/// Completions of half the length, of a quarter, and so on, in the stages that have longer ones.
fn shorter(start: &Candidate) -> Vec<Candidate> {
    let longest = start.recipe.rl.iter().map(|stage| stage.max_completion_length).max().unwrap_or(0);
    let lengths = std::iter::successors(Some(longest / 2), |length| Some(length / 2))
        .take_while(|length| *length >= 256);
    let cut = |length: usize| {
        start.with(format!("max_completion_length = {length} at most"), |candidate| {
            for stage in &mut candidate.recipe.rl {
                stage.max_completion_length = stage.max_completion_length.min(length);
                stage.overlong_buffer = stage.overlong_buffer.min(length);
            }
            let most = &mut candidate.recipe.eval.max_completion_length;
            *most = length.min(*most);
        })
    };
    lengths.map(cut).collect()
}

/// The sizes of the Qwen2.5 family below this model's.
fn smaller(start: &Candidate) -> Vec<Candidate> {
    let count = start.shape.config.parameter_count();
    let sizes = family().filter(|(_, config)| config.parameter_count() < count);
    let other = |(size, mut config): (&str, crate::model::Config)| {
        config.max_position_embeddings = start.shape.config.max_position_embeddings;
        start.with(format!("a model of the size of Qwen2.5-{}", size.to_uppercase()), |candidate| {
            candidate.shape.config = config
        })
    };
    sizes.map(other).collect()
}
