//! A recipe: one TOML file that says what is trained, on what, and how. Unknown keys are refused.

pub(crate) mod check;
mod problems;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use assay_testsets::{Problem, Task};
use assay_verifier::Profile;
use assay_verifier::template::Template;
use serde::{Deserialize, Serialize};

pub use self::problems::ProblemFile;
use crate::adapter;
use crate::chat::Choice;
use crate::cores::Cores;
use crate::error::{self, reason};
use crate::grpo::Loss;
use crate::model::{ACTIVATION_BYTES, Config, Lora, MAX_SHARD_BYTES, Model, Target};
use crate::optim::Moments;
use crate::policy::Sampling;
use crate::reward_client::Rewards;
use crate::sampler::{Cache, Filters};
use crate::temperature::Temperature;
use crate::train::Until;

/// A whole recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Everything random follows from it.
    #[serde(default)]
    pub seed: u64,
    /// Where the policy comes from.
    pub model: ModelSource,
    /// A low-rank adapter, trained in place of the loaded model's weights; left out, all of these are trained.
    pub lora: Option<LoraSettings>,
    /// Problem files by name: `name = "path"` or `name = { path = "path", label_key = "column", .. }`, usable in `prompts`
    /// beside the generated families.
    #[serde(default)]
    pub problems: BTreeMap<String, ProblemFile>,
    /// How a problem becomes a prompt, in training and in evaluation.
    #[serde(default)]
    pub templates: Templates,
    /// Supervised fine-tuning; left out, `rl` starts from `model`.
    pub sft: Option<Sft>,
    /// The optimizer of SFT and RL, each with moments of its own.
    #[serde(default)]
    pub adamw: AdamWSettings,
    /// How completions are computed, in training and in evaluation.
    #[serde(default)]
    pub sampler: SamplerSettings,
    /// How rewards are asked for.
    #[serde(default)]
    pub rewards: Rewards,
    /// Which cores train and which judge.
    #[serde(default)]
    pub cores: Cores,
    /// What of the host's memory the two sides take.
    #[serde(default)]
    pub memory: Memory,
    /// Stages of reinforcement learning, in order.
    #[serde(default)]
    pub rl: Vec<Stage>,
    /// How a policy is evaluated.
    #[serde(default)]
    pub eval: Eval,
    /// Which checkpoints of reinforcement learning stay.
    #[serde(default)]
    pub checkpoints: Checkpoints,
    /// Which rollouts are kept for people to read.
    #[serde(default)]
    pub dump: Dump,
}

/// What of the host's memory the verifier takes; the trainer's is what `assay-train plan` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// Bytes of the verifier that the trainer starts: it runs no more programs at once than fit into them, each taking all
    /// that it may. Left out, as many as it has cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifier_bytes: Option<u64>,
}

impl Memory {
    /// Of a verifier without programs to run.
    pub(crate) const VERIFIER_BYTES: u64 = 64 << 20;

    /// Of a program, where neither it nor its problem has a limit of its own.
    pub(crate) fn program_bytes() -> u64 {
        Profile::Judge.limits().memory
    }

    /// How many programs a verifier on so many cores runs at once.
    pub(crate) fn judges(&self, cores: usize) -> usize {
        let fit = |bytes: u64| bytes.saturating_sub(Self::VERIFIER_BYTES) / Self::program_bytes();
        let fit = self.verifier_bytes.map_or(cores, |bytes| usize::try_from(fit(bytes)).unwrap_or(cores));
        cores.min(fit).max(1)
    }

    /// What of it cannot be meant.
    pub(crate) fn mistake(&self, own_verifier: bool) -> Option<String> {
        let bytes = self.verifier_bytes?;
        let least = Self::VERIFIER_BYTES + Self::program_bytes();
        if !own_verifier {
            return Some("memory.verifier_bytes is of a verifier that the trainer starts, and rewards.urls names others: leave one out".to_owned());
        }
        (bytes < least).then(|| {
            format!("memory.verifier_bytes must be at least {least}, for itself and one program, not {bytes}")
        })
    }
}

/// How a problem becomes a prompt: the templates that `assay bench` has, by name; left out, a prompt is the problem's text.
///
/// What a template says for the system goes into a chat template where `model.system_prompt` says nothing; without a chat
/// template a prompt is the template's own frame.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Templates {
    /// Of problems with an answer.
    pub math: Template,
    /// Of problems that ask for a program.
    pub code: Template,
}

impl Templates {
    /// The one for a problem.
    pub fn of(&self, problem: &Problem) -> &Template {
        match problem.task {
            Task::Math(_) => &self.math,
            Task::Code(_) => &self.code,
        }
    }
}

/// Which rollouts of reinforcement learning are kept for people to read, in `rollouts/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dump {
    /// So many of each step, spread evenly over its prompts; 0 is none.
    pub rollouts: usize,
    /// Of the newest so many steps.
    pub steps: usize,
}

impl Default for Dump {
    fn default() -> Dump {
        Dump { rollouts: 8, steps: 100 }
    }
}

/// Which checkpoints of reinforcement learning stay. With `eval.every` the one with the best held-out accuracy does in
/// any case, as `rl.best`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoints {
    /// The newest so many: `rl`, and the older ones as `rl.step-N`.
    pub keep: usize,
}

impl Default for Checkpoints {
    fn default() -> Checkpoints {
        Checkpoints { keep: 1 }
    }
}

/// Where the policy comes from: `load` an HF directory, or random weights of the given sizes and the tokenizer
/// of the generated families.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSource {
    /// A directory with `config.json`, `tokenizer.json` and safetensors, or a `.gguf` file; the sizes below, which are of
    /// a fresh model, are then not used.
    pub load: Option<PathBuf>,
    /// Width.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Depth.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Standard deviation of fresh weights.
    pub initializer_range: f32,
    /// Longest sequence, prompt and completion together. Left out: 128, or what a loaded model says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_position_embeddings: Option<usize>,
    /// Base of the rotary frequencies. Left out: 10,000, or what a loaded model says; 1e6 makes a model of a short
    /// context ready to be trained on a long one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f32>,
    /// The template that prompts go through: `auto` (the model's own, or ChatML where its vocabulary has it), `none`,
    /// `chatml`, or the path of a `.jinja` file.
    pub chat_template: Choice,
    /// A system message before each prompt, where there is a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// Bytes of a checkpoint's model file, beyond which it is cut into shards.
    pub max_shard_bytes: u64,
    /// Bytes that layers may keep of a forward pass for the backward pass, beside each layer's input; layers beyond that are
    /// computed again ("activation checkpointing"), which takes a third more time and gives the same numbers. 0 is all of them.
    pub max_activation_bytes: usize,
}

impl Default for ModelSource {
    fn default() -> ModelSource {
        ModelSource {
            load: None,
            hidden_size: 128,
            intermediate_size: 384,
            num_hidden_layers: 3,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            initializer_range: 0.02,
            max_position_embeddings: None,
            rope_theta: None,
            chat_template: Choice::Auto,
            system_prompt: None,
            max_shard_bytes: MAX_SHARD_BYTES,
            max_activation_bytes: ACTIVATION_BYTES,
        }
    }
}

/// Tokens of a fresh model's longest sequence, where the recipe does not say.
pub(crate) const FRESH_CONTEXT: usize = 128;

impl ModelSource {
    /// The shape of a fresh model.
    pub(crate) fn config(&self, vocab_size: usize) -> Config {
        let heads = (self.num_attention_heads, self.num_key_value_heads);
        let mut config = Config::tiny(vocab_size, self.hidden_size, self.num_hidden_layers, heads.0, heads.1);
        config.intermediate_size = self.intermediate_size;
        config.initializer_range = self.initializer_range;
        config.rope_theta = self.rope_theta.unwrap_or(config.rope_theta);
        config.max_position_embeddings = self.max_position_embeddings.unwrap_or(FRESH_CONTEXT);
        config
    }
}

/// A low-rank adapter on every layer's linears. It wants a learning rate of its own: by what others found, about ten times
/// that of all weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraSettings {
    /// An adapter directory, as the `peft` package writes it, to go on from; what follows, which is of a fresh adapter, is
    /// then not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<PathBuf>,
    /// Width between its two matrices.
    pub rank: usize,
    /// What it adds is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// The linears that have one; left out, all.
    pub target_modules: BTreeSet<Target>,
    /// Named only to be refused: the policy trained must be the policy sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
}

impl Default for LoraSettings {
    fn default() -> LoraSettings {
        LoraSettings { load: None, rank: 16, alpha: 32.0, target_modules: Target::ALL.into(), dropout: None }
    }
}

impl LoraSettings {
    /// The form of a fresh adapter.
    pub fn form(&self) -> Lora {
        Lora { rank: self.rank, alpha: self.alpha, target_modules: self.target_modules.clone() }
    }

    /// Puts it on a model.
    pub(crate) fn put_on(&self, model: &mut Model, seed: u64) -> error::Result<()> {
        match &self.load {
            Some(directory) => adapter::load(model, directory),
            None => model.adapt(&self.form(), seed),
        }
    }
}

/// The numbers of AdamW beside the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWSettings {
    /// Decay rates of the two moments.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Share of each parameter taken off per step, times the learning rate.
    pub weight_decay: f64,
    /// How the two moments are kept: `f32`; `8bit`, blocks of 8 bits a number, a quarter of the memory; or `host`, as f32 but
    /// in the host's memory where a GPU computes.
    pub moments: Moments,
}

impl Default for AdamWSettings {
    fn default() -> AdamWSettings {
        AdamWSettings { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, moments: Moments::F32 }
    }
}

/// How completions are computed: what bounds their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplerSettings {
    /// Most completions that advance together.
    pub max_batch: usize,
    /// Tokens whose keys and values are kept, of all completions together; beyond that completions wait, or make room for
    /// older ones. Left out, as many as `max_batch` completions have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_tokens: Option<usize>,
    /// The same completions to the last bit whoever shares the batch; slower where more than 64 advance together.
    pub batch_invariant: bool,
}

impl Default for SamplerSettings {
    fn default() -> SamplerSettings {
        SamplerSettings { max_batch: 512, cache_tokens: None, batch_invariant: false }
    }
}

impl SamplerSettings {
    pub(crate) fn cache(self) -> Cache {
        let whole = Cache::default();
        Cache { tokens: self.cache_tokens.unwrap_or(whole.tokens), ..whole }
    }
}

/// Supervised fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sft {
    /// Rows per step from each generated family.
    #[serde(default)]
    pub rows: BTreeMap<String, usize>,
    /// A file of rows, shuffled anew each epoch: `{"input": ..., "output": ...}`, `{"prompt": ..., "response": ...}`, or
    /// `{"messages": [...]}` that end in the assistant's answer.
    pub file: Option<PathBuf>,
    /// Rows per step from `file`.
    #[serde(default)]
    pub file_rows: usize,
    /// Rows of `file` with more tokens, prompt and answer together, are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Most steps.
    pub steps: u64,
    /// Peak; rises over `warmup` steps, then constant.
    pub learning_rate: f64,
    /// Steps until the peak.
    #[serde(default = "default_warmup")]
    pub warmup: u64,
    /// Stop early once greedy accuracy on the development split of each family named here has reached its number. A family
    /// that has is taught no more while others have not, unless it falls below again.
    #[serde(default)]
    pub until: BTreeMap<String, f64>,
    /// Steps between two looks at that accuracy.
    #[serde(default = "default_check_every")]
    pub check_every: u64,
}

/// One stage of reinforcement learning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name in `metrics.jsonl`.
    pub name: String,
    /// Prompts per step from each source: a generated family or a name of `[problems]`.
    pub prompts: BTreeMap<String, usize>,
    /// Rollouts per prompt: the group.
    pub rollouts: usize,
    /// Steps; each is one batch of rollouts and one update.
    pub steps: u64,
    /// What ends the stage before its last step. The next one calibrates its temperature anew.
    #[serde(default)]
    pub until: Until,
    /// Leave out, as long as the stage lasts, the problems that every one of their rollouts solved: from the second epoch of
    /// its files on none of them comes again (AceReason-Nemotron 1.0, the second stage of code). The stage ends when none
    /// is left.
    #[serde(default)]
    pub drop_solved: bool,
    /// Most tokens of a completion; longer ones are cut.
    pub max_completion_length: usize,
    /// AdamW's.
    pub learning_rate: f64,
    /// Gradient norm above which the gradient is scaled down; 0 never clips.
    #[serde(default = "default_clip")]
    pub max_grad_norm: f64,
    /// What a truncated completion means.
    #[serde(default)]
    pub overlong: Overlong,
    /// With `overlong = "soft"`: so many tokens before the greatest length the penalty begins.
    #[serde(default = "default_overlong_buffer")]
    pub overlong_buffer: usize,
    /// With `overlong = "soft"`: what the reward loses at the greatest length.
    #[serde(default = "default_overlong_penalty")]
    pub overlong_penalty: f64,
    /// The loss; by default the paper's.
    #[serde(default)]
    pub loss: Loss,
    /// The sampling temperature.
    #[serde(default)]
    pub temperature: Temperature,
    /// Steps between checkpoints, beside the one at the end.
    #[serde(default = "default_save_every")]
    pub save_every: u64,
    /// Draw only from the fewest tokens whose probabilities add up to this share. Filters of the sampler make the policy
    /// sampled another than the one trained, so they need a `loss.mismatch.correction`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Draw only from the first so many tokens; as `top_p`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Draw only from tokens at least this share as probable as the best; as `top_p`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
}

/// What a completion cut at the greatest length means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlong {
    /// It is graded as it is, so it nearly always counts as wrong: no overlong filter.
    #[default]
    #[serde(alias = "off")]
    Count,
    /// It stays in its group's baseline but is not trained on ("overlong filtering").
    #[serde(alias = "mask_after")]
    Mask,
    /// It is taken out before the baseline, and is not trained on.
    MaskBefore,
    /// It is graded as it is, and the last `overlong_buffer` tokens before the greatest length cost up to
    /// `overlong_penalty` of the reward, evenly rising (DAPO).
    Soft,
}

/// How a policy is evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Eval {
    /// Held-out problems from each source; a generated family gives so many different ones of its held-out split,
    /// a file its first so many.
    pub problems: BTreeMap<String, usize>,
    /// Steps of reinforcement learning between two looks at the accuracy on these problems, beside those before the
    /// first step and after the last; 0 is never.
    pub every: u64,
    /// Completions per problem.
    pub samples: usize,
    /// 0 is greedy.
    pub temperature: f64,
    /// Draw only from the first so many tokens; 0 is no limit.
    pub top_k: usize,
    /// Draw only from the fewest tokens whose probabilities add up to this share; 1 is no limit.
    pub top_p: f64,
    /// Draw only from tokens at least this share as probable as the best; 0 is no limit.
    pub min_p: f64,
    /// Texts that end a completion; it is cut before them.
    pub stop: Vec<String>,
    /// Most tokens of a completion.
    pub max_completion_length: usize,
}

impl Eval {
    /// How these completions are sampled.
    pub fn sampling(&self, seed: u64, purpose: &'static str) -> Sampling {
        Sampling {
            temperature: self.temperature,
            filters: Filters { top_k: self.top_k, top_p: self.top_p as f32, min_p: self.min_p as f32 },
            stop: self.stop.clone(),
            max_completion_length: self.max_completion_length,
            seed,
            purpose,
            step: 0,
        }
    }
}

impl Default for Eval {
    fn default() -> Eval {
        Eval {
            problems: BTreeMap::new(),
            every: 0,
            samples: 1,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            stop: Vec::new(),
            max_completion_length: 64,
        }
    }
}

fn default_warmup() -> u64 {
    50
}
fn default_check_every() -> u64 {
    25
}
fn default_clip() -> f64 {
    1.0
}
fn default_save_every() -> u64 {
    50
}
fn default_overlong_buffer() -> usize {
    4096
}
fn default_overlong_penalty() -> f64 {
    1.0
}

/// What is wrong with a recipe; the text names the file and the key.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file can't be read.
    #[error("cannot read the recipe {path}: {reason}", path = path.display(), reason = reason(source))]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("recipe {name}, line {line}: {what}")]
    Parse {
        /// File, or the name of an embedded recipe.
        name: String,
        /// From 1.
        line: usize,
        /// What was expected and what came.
        what: String,
    },
    /// Well-formed, but it makes no sense.
    #[error("recipe {name}: {what}")]
    Invalid {
        /// File, or the name of an embedded recipe.
        name: String,
        /// The key, what was expected and what came.
        what: String,
    },
}

impl Recipe {
    /// Reads a recipe; paths in it are relative to the file's directory.
    pub fn load(path: &Path) -> Result<Recipe, RecipeError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| RecipeError::Read { path: path.to_owned(), source })?;
        let mut recipe = Recipe::parse(&path.display().to_string(), &text)?;
        // Canonical, so that a recipe has the same paths from wherever it is named.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let base = std::fs::canonicalize(parent.unwrap_or(Path::new(".")))
            .map_err(|source| RecipeError::Read { path: path.to_owned(), source })?;
        let absolute = |path: &mut PathBuf| *path = base.join(&path);
        recipe.problems.values_mut().map(|file| &mut file.path).for_each(absolute);
        recipe.model.load.iter_mut().for_each(absolute);
        recipe.lora.iter_mut().filter_map(|lora| lora.load.as_mut()).for_each(absolute);
        recipe.rewards.token_file.iter_mut().for_each(absolute);
        if let Choice::File(path) = &mut recipe.model.chat_template {
            absolute(path);
        }
        recipe.sft.iter_mut().filter_map(|sft| sft.file.as_mut()).for_each(absolute);
        Ok(recipe)
    }

    /// Reads a recipe's text; `name` is for messages.
    pub fn parse(name: &str, text: &str) -> Result<Recipe, RecipeError> {
        let recipe: Recipe = toml::from_str(text).map_err(|error| RecipeError::Parse {
            name: name.to_owned(),
            line: error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1),
            what: error.message().replace('\n', " "),
        })?;
        match recipe.mistake() {
            Some(what) => Err(RecipeError::Invalid { name: name.to_owned(), what }),
            None => Ok(recipe),
        }
    }

    /// The first key that two recipes do not share, with both values. Left out are the tables that do not say what is
    /// learned: a verifier may have moved, and a disk may have filled.
    pub(crate) fn difference(&self, other: &Recipe) -> Option<String> {
        let table = |recipe: &Recipe| {
            let mut table = toml::Table::try_from(recipe).unwrap_or_default();
            for free in ["rewards", "checkpoints", "dump", "cores", "memory"] {
                table.remove(free);
            }
            // Memory and time: the numbers are the same to the bit.
            if let Some(toml::Value::Table(model)) = table.get_mut("model") {
                model.remove("max_activation_bytes");
            }
            toml::Value::Table(table)
        };
        difference(String::new(), Some(&table(self)), Some(&table(other)))
    }
}

fn difference(at: String, ours: Option<&toml::Value>, theirs: Option<&toml::Value>) -> Option<String> {
    use toml::Value::{Array, Table};
    match (ours, theirs) {
        (Some(Table(ours)), Some(Table(theirs))) => {
            let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            let dot = if at.is_empty() { "" } else { "." };
            keys.into_iter()
                .find_map(|key| difference(format!("{at}{dot}{key}"), ours.get(key), theirs.get(key)))
        }
        (Some(Array(ours)), Some(Array(theirs))) => (0..ours.len().max(theirs.len()))
            .find_map(|index| difference(format!("{at}[{index}]"), ours.get(index), theirs.get(index))),
        (ours, theirs) if ours == theirs => None,
        (ours, theirs) => Some(format!("{at} is {} here and {} there", shown(ours), shown(theirs))),
    }
}

/// A value in a message: short, whatever it is.
fn shown(value: Option<&toml::Value>) -> String {
    match value {
        None => "not set".to_owned(),
        Some(toml::Value::Table(_) | toml::Value::Array(_)) => "set".to_owned(),
        Some(value) => value.to_string(),
    }
}

impl Stage {
    /// What may be drawn.
    pub fn filters(&self) -> Filters {
        let all = Filters::default();
        Filters {
            top_k: self.top_k.unwrap_or(all.top_k),
            top_p: self.top_p.map_or(all.top_p, |share| share as f32),
            min_p: self.min_p.map_or(all.min_p, |share| share as f32),
        }
    }

    /// The source of each prompt of a step.
    pub fn mix(&self) -> impl Iterator<Item = &String> {
        self.prompts.iter().flat_map(|(source, count)| std::iter::repeat_n(source, *count))
    }

    /// Prompts per step over all sources.
    pub fn prompts_per_step(&self) -> usize {
        self.prompts.values().sum()
    }
}

/// The recipe of `assay-train quickstart`, kept in the binary.
pub const TINY_CPU: &str = include_str!("../recipes/tiny-cpu.toml");

#[cfg(test)]
mod tests {
    use super::*;

    const STAGE: &str = "[model]\n[[rl]]\nname = 'm'\nprompts = { arithmetic = 4 }\nrollouts = 4\nsteps = 2\n\
        max_completion_length = 8\nlearning_rate = 1e-4\n";

    #[test]
    fn the_embedded_recipe_parses() {
        let recipe = Recipe::parse("tiny-cpu.toml", TINY_CPU).unwrap();
        assert!(recipe.sft.is_some() && !recipe.rl.is_empty());
    }

    /// Where memory is short, a run goes on with less kept: the numbers are the same.
    #[test]
    fn a_run_may_go_on_with_another_bound_of_activations() {
        let with = |bytes: &str| {
            Recipe::parse(
                "r.toml",
                &STAGE.replace("[model]", &format!("[model]\nmax_activation_bytes = {bytes}")),
            )
            .unwrap()
        };
        assert_eq!(with("0").difference(&with("2147483648")), None);
        assert_eq!(with("2147483648"), Recipe::parse("r.toml", STAGE).unwrap());
        let other =
            Recipe::parse("r.toml", &STAGE.replace("[model]", "[model]\nnum_hidden_layers = 2")).unwrap();
        assert!(with("0").difference(&other).unwrap().contains("model.num_hidden_layers"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file_and_line() {
        assert!(Recipe::parse("r.toml", STAGE).is_ok());
        let rows = [
            ("sede = 3\n[model]\n", "recipe r.toml, line 1", "sede"),
            ("[model]\nhidden = 3\n", "line 2", "hidden"),
            ("[model]\n[rewards]\nurl = 'http://x'\n", "line 3", "url"),
            ("[model\n", "line 1", "]"),
            ("seed = 1\n", "recipe r.toml", "model"),
            ("seed = -1\n[model]\n", "line 1", "-1"),
            (&format!("{STAGE}[rl.temperature]\nmode = 'magic'\n"), "line 10", "magic"),
            (&format!("{STAGE}temprature = 1\n"), "line", "temprature"),
            (&format!("{STAGE}top_p = 0.95\n"), "stage `m`", "top_p is refused in rl without a correction"),
            (
                &format!("{STAGE}min_p = 1.5\nloss = {{ mismatch = {{ correction = 'truncate' }} }}\n"),
                "stage `m`",
                "min_p must be from 0 to 1",
            ),
            (&STAGE.replace("arithmetic", "algebra"), "stage `m`", "algebra"),
            (&STAGE.replace("rollouts = 4", "rollouts = 1"), "stage `m`", "not 1"),
            ("[model]\n[eval]\nproblems = { arithmetic = 1000 }\n", "eval.problems", "has 5"),
            (
                &STAGE.replace("1e-4", "0.0"),
                "stage `m`",
                "learning_rate must be above 0 and at most 1, not 0",
            ),
        ];
        for (text, place, key) in rows {
            let error = Recipe::parse("r.toml", text).unwrap_err().to_string();
            assert!(
                error.contains("r.toml") && error.contains(place) && error.contains(key),
                "{text}\n-> {error}"
            );
            assert!(!error.contains('\n'), "one line: {error}");
        }
    }
}
