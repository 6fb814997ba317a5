//! The policy as the school sees it: a model with its tokenizer and its optimizer, that writes completions and
//! learns from them.
//!
//! Sampling and training are one model, so the log-probability the sampler recorded is the one the trainer
//! computes, to rounding; [`Updated::gap`] shows it.

mod directory;
mod update;

use std::path::{Path, PathBuf};

use assay_testsets::Problem;
use rand::Rng as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::directory::whole;
pub(crate) use self::directory::{best, keep_best, kept, present, state, step_of};
pub use self::update::{Learned, Objective, Skipped, Updated};
use crate::adapter;
use crate::chat::{Choice, Message, Template};
use crate::checkpoint::{self, Precision};
use crate::data::stream;
use crate::error::{EngineError, Result};
use crate::model::{Batch, Hidden, Model, TokenStats};
use crate::optim::AdamW;
use crate::recipe::{Recipe, SamplerSettings, Templates};
use crate::rollout::Rollout;
use crate::sampler::{Filters, Generated, Sampler, SamplingParams};
use crate::tasks;
use crate::temperature::Measured;
use crate::tokenizer::Tokenizer;

/// Who writes and learns.
#[derive(Debug)]
pub struct Policy {
    model: Model,
    /// Where the model under an adapter is; without one, where the model came from.
    base: PathBuf,
    tokenizer: Tokenizer,
    /// What prompts go through; none, and they are taken as they are.
    template: Option<Template>,
    system_prompt: Option<String>,
    templates: Templates,
    optimizer: AdamW,
    sampler: SamplerSettings,
    /// The policy that a divergence is measured from, where one is.
    reference: Option<Model>,
    /// Any of them ends a completion; the first ends the rows of SFT.
    end_of_text: Vec<u32>,
    max_shard_bytes: u64,
}

/// Completions whose entropy is measured at one temperature after another.
#[derive(Debug)]
pub struct Gauge<'p> {
    model: &'p Model,
    parts: Vec<Part>,
}

/// Some of the completions.
#[derive(Debug)]
enum Part {
    Kept(Hidden),
    /// Too long to be kept: computed anew at each temperature.
    Again(Batch),
}

/// Bytes of hidden states that a [`Gauge`] keeps.
const MOST_KEPT_BYTES: usize = 256 << 20;

impl Gauge<'_> {
    /// Entropy and its slope over the completions, as if sampled at `temperature`.
    pub fn measure(&self, temperature: f64) -> Result<Measured> {
        let mut stats = TokenStats::default();
        for part in &self.parts {
            stats.extend(match part {
                Part::Kept(hidden) => self.model.score_hidden(hidden, temperature as f32)?,
                Part::Again(batch) => self.model.score(batch, temperature as f32)?,
            });
        }
        Ok(Measured::mean(&stats.entropy, &stats.variance))
    }
}

/// A model that only writes.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) model: Model,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: Option<Template>,
    /// What stands before a conversation that has nothing of the system.
    pub(crate) system_prompt: Option<String>,
    /// Any of them ends a completion.
    pub(crate) end_of_text: Vec<u32>,
}

/// How completions are sampled; by default greedily, one token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 is greedy.
    pub temperature: f64,
    /// Which tokens may be drawn at all.
    pub filters: Filters,
    /// Texts that end a completion; it is cut before them.
    pub stop: Vec<String>,
    /// Most tokens of a completion, the end-of-text token included.
    pub max_completion_length: usize,
    /// Of the recipe.
    pub seed: u64,
    /// Draws for different purposes are independent.
    pub purpose: &'static str,
    /// So are draws of different steps.
    pub step: u64,
}

impl Policy {
    /// Loads the recipe's model, or makes a random one with the tokenizer of the generated families.
    pub fn create(recipe: &Recipe) -> Result<Policy> {
        let source = &recipe.model;
        if let Some(directory) = &source.load {
            let mut model = Model::load(directory)?;
            recipe.lora.as_ref().map_or(Ok(()), |lora| lora.put_on(&mut model, recipe.seed))?;
            model.set_positions(source.rope_theta, source.max_position_embeddings)?;
            return Policy::of(directory, model, Tokenizer::load(directory)?, recipe);
        }
        let tokenizer = Tokenizer::from_json(&tasks::tokenizer_json(), tasks::END_OF_TEXT)?;
        let mut config = source.config(tokenizer.vocab_size());
        config.eos_token_id = tokenizer.eos_token_id().into_iter().collect();
        Policy::of(Path::new("the fresh model"), Model::random(&config, recipe.seed)?, tokenizer, recipe)
    }

    fn of(directory: &Path, mut model: Model, tokenizer: Tokenizer, recipe: &Recipe) -> Result<Policy> {
        let source = &recipe.model;
        model.set_activation_bytes(source.max_activation_bytes);
        let (template, end_of_text) = conventions(directory, &model, &tokenizer, &source.chat_template)?;
        let mut optimizer = AdamW::new(&model)?;
        optimizer.betas = recipe.adamw.betas;
        (optimizer.eps, optimizer.weight_decay) = (recipe.adamw.eps, recipe.adamw.weight_decay);
        optimizer.moments = recipe.adamw.moments;
        let sampler = recipe.sampler;
        let (system_prompt, max_shard_bytes) = (source.system_prompt.clone(), source.max_shard_bytes);
        let templates = recipe.templates.clone();
        let (base, reference) = (directory.to_owned(), None);
        Ok(Policy {
            model,
            base,
            tokenizer,
            template,
            system_prompt,
            templates,
            optimizer,
            sampler,
            reference,
            end_of_text,
            max_shard_bytes,
        })
    }

    /// Measures divergence from now on from the policy that the run began with: that of a checkpoint, or the recipe's.
    /// Only its weights are kept; under an adapter only the adapter, which is put on the base that is here already.
    pub fn refer_to_start(&mut self, recipe: &Recipe, checkpoint: Option<&Path>) -> Result<()> {
        let mut reference = match (self.model.base(), checkpoint, &recipe.lora) {
            (Some(mut base), Some(checkpoint), _) => {
                adapter::load(&mut base, &whole(checkpoint))?;
                base
            }
            (Some(mut base), None, Some(lora)) => {
                lora.put_on(&mut base, recipe.seed)?;
                base
            }
            (_, Some(checkpoint), _) => Policy::load(checkpoint, recipe)?.model,
            (_, None, _) => Policy::create(recipe)?.model,
        };
        let config = self.model.config();
        reference.set_positions(Some(config.rope_theta), Some(config.max_position_embeddings))?;
        self.reference = Some(reference);
        Ok(())
    }

    /// The tokens that ask for an answer to `text`: through the chat template where there is one.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>> {
        self.conversation(&[Message::new("user", text)])
    }

    /// The tokens that ask for an answer to a problem: by the recipe's template for it, as part of a conversation where
    /// there is a chat template.
    pub fn question(&self, problem: &Problem) -> Result<Vec<u32>> {
        let form = self.templates.of(problem);
        let text = match &self.template {
            Some(template) => {
                let system = self.system_prompt.as_deref().or(form.system());
                template.ask(system, &[Message::new("user", &form.user(problem))])?
            }
            None => form.text(problem),
        };
        self.tokenizer.encode(&text)
    }

    /// The tokens that ask for the next word in a conversation. One that has a system message keeps it.
    ///
    /// # Errors
    /// There is more than a question in it, and no chat template to say who said what; or the template refuses it.
    pub fn conversation(&self, messages: &[Message]) -> Result<Vec<u32>> {
        match (&self.template, messages) {
            (Some(template), _) => {
                self.tokenizer.encode(&template.ask(self.system_prompt.as_deref(), messages)?)
            }
            (None, [Message { role, content }]) if role == "user" => self.tokenizer.encode(content),
            (None, _) => Err(EngineError::Input(
                "a system message or earlier turns need a chat template, and the model has none; set \
                 model.chat_template, or write the conversation as one prompt"
                    .to_owned(),
            )),
        }
    }

    /// `each` completions of each problem's prompt, problem by problem.
    pub fn sample(&self, problems: &[Problem], each: usize, sampling: &Sampling) -> Result<Vec<Rollout>> {
        self.sample_each(problems, each, sampling, &mut |_, _| {})
    }

    /// As [`Policy::sample`]; each completion's index and text are said as soon as it is whole.
    pub fn sample_each(
        &self,
        problems: &[Problem],
        each: usize,
        sampling: &Sampling,
        say: &mut dyn FnMut(usize, &str),
    ) -> Result<Vec<Rollout>> {
        let prompts: Vec<Vec<u32>> =
            problems.iter().map(|problem| self.question(problem)).collect::<Result<_>>()?;
        let params = SamplingParams { rollouts: each, ..self.params(sampling) };
        let sampler = self.sampler();
        let mut rollouts: Vec<Option<Rollout>> = vec![None; problems.len() * each];
        sampler.generate_each(&prompts, &params, &mut |index, generated| {
            let Generated { completion_ids, filtered_logprobs: logprobs, finish_reason, text, .. } =
                generated;
            let completion = text.map_or_else(|| self.tokenizer.decode(&completion_ids, true), Ok)?;
            say(index, &completion);
            rollouts[index] = Some(Rollout {
                question_id: problems[index / each].question_id.clone(),
                prompt_ids: prompts[index / each].clone(),
                completion_ids,
                logprobs,
                finish_reason,
                completion,
            });
            Ok(())
        })?;
        let lost = || EngineError::Input("a rollout was lost".to_owned());
        rollouts.into_iter().map(|rollout| rollout.ok_or_else(lost)).collect()
    }

    /// One completion of `text`, as a prompt; it is given to `say` piece by piece, until that is false.
    pub fn stream(&self, text: &str, sampling: &Sampling, say: &mut dyn FnMut(&str) -> bool) -> Result<()> {
        self.sampler().stream(&self.prompt(text)?, &self.params(sampling), say)
    }

    fn sampler(&self) -> Sampler<'_> {
        Sampler::new(&self.model).with_tokenizer(&self.tokenizer).with_cache(self.sampler.cache())
    }

    fn params(&self, sampling: &Sampling) -> SamplingParams {
        SamplingParams {
            temperature: if sampling.temperature > 0.0 { sampling.temperature as f32 } else { 1.0 },
            greedy: sampling.temperature <= 0.0,
            max_new_tokens: sampling.max_completion_length,
            eos_token_ids: self.end_of_text.clone(),
            rollouts: 1,
            stop: sampling.stop.clone(),
            filters: sampling.filters,
            seed: stream(sampling.seed, sampling.purpose, sampling.step).random(),
            max_batch: self.sampler.max_batch,
            batch_invariant: self.sampler.batch_invariant,
        }
    }

    /// Entropy and its slope over the completions of `rollouts`, as if sampled at `temperature`.
    pub fn measure(&self, rollouts: &[Rollout], temperature: f64) -> Result<Measured> {
        self.gauge(rollouts)?.measure(temperature)
    }

    /// As [`Policy::measure`], for several temperatures: the layers do not depend on it, and are computed once.
    pub fn gauge(&self, rollouts: &[Rollout]) -> Result<Gauge<'_>> {
        let mut left = MOST_KEPT_BYTES;
        let parts = batch(rollouts)?.split(TOKENS_AT_ONCE).into_iter().map(|part| {
            let bytes = part.response_tokens() * self.model.config().hidden_size * size_of::<f32>();
            if bytes > left {
                return Ok(Part::Again(part));
            }
            left -= bytes;
            self.model.hidden(&part).map(Part::Kept)
        });
        Ok(Gauge { model: &self.model, parts: parts.collect::<Result<_>>()? })
    }

    /// Writes a checkpoint directory: the files of an HF checkpoint, or of an adapter, the optimizer, and `state`. Whenever
    /// this is cut there is a whole one. Of the older ones as many stay beside it as make `keep`.
    pub fn save(&self, directory: &Path, state: &impl Serialize, keep: usize) -> Result<()> {
        directory::swap_in(directory, keep, |fresh| self.write(fresh, state))
    }

    fn write(&self, fresh: &Path, state: &impl Serialize) -> Result<()> {
        match self.model.adapter() {
            Some(_) => adapter::save(&self.model, &self.base, fresh)?,
            None => self.model.save_in_shards(fresh, Precision::F32, self.max_shard_bytes)?,
        }
        self.tokenizer.save(fresh)?;
        self.optimizer.save(&self.model, &fresh.join(OPTIMIZER))?;
        let text = serde_json::to_string_pretty(state).unwrap_or_default() + "\n";
        checkpoint::replace(&fresh.join(directory::STATE), text.as_bytes())
    }

    /// The policy of a checkpoint directory that a run by this recipe wrote, the optimizer's moments fresh.
    pub fn load(directory: &Path, recipe: &Recipe) -> Result<Policy> {
        let directory = whole(directory);
        let (model, from) = match &recipe.model.load {
            Some(base) if adapter::is_one(&directory) => adapter::open(Some(base), Some(&directory))?,
            _ => adapter::open(Some(&directory), None)?,
        };
        Policy::of(&from, model, Tokenizer::load(&from)?, recipe)
    }

    /// The policy, its optimizer and the state of a checkpoint directory, to go on from.
    pub fn load_with<S: DeserializeOwned>(directory: &Path, recipe: &Recipe) -> Result<(Policy, S)> {
        let mut policy = Policy::load(directory, recipe)?;
        let directory = whole(directory);
        policy.optimizer.load(&policy.model, &directory.join(OPTIMIZER))?;
        let state = state(&directory)?;
        Ok((policy, state))
    }

    /// Whether prompts go through a chat template.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// What only writes needs.
    pub(crate) fn into_writer(self) -> Writer {
        let Policy { model, tokenizer, template, system_prompt, end_of_text, .. } = self;
        Writer { model, tokenizer, template, system_prompt, end_of_text }
    }

    /// Tokens of the longest sequence, prompt and completion together.
    pub fn context(&self) -> usize {
        self.model.config().max_position_embeddings
    }
}

/// The template that a model's prompts go through, and the tokens that end what it writes, what ends a turn first;
/// `directory` is where the model came from, for messages.
///
/// # Errors
/// Model and tokenizer do not fit together, nothing ends a text, or the template is none.
pub(crate) fn conventions(
    directory: &Path,
    model: &Model,
    tokenizer: &Tokenizer,
    choice: &Choice,
) -> Result<(Option<Template>, Vec<u32>)> {
    // A model may have more rows than there are tokens, as Qwen2's do, never fewer.
    let (tokens, rows) = (tokenizer.vocab_size(), model.config().vocab_size);
    if tokens > rows {
        let what = format!(
            "the tokenizer has {tokens} tokens, the model's vocab_size is {rows}: they are not of one checkpoint; \
             put the tokenizer.json that came with the weights there"
        );
        return Err(EngineError::checkpoint(directory, what));
    }
    let template = Template::choose(choice, tokenizer)?;
    // A chat model ends its turn, a base model the text.
    let end_of_turn = template.as_ref().and_then(|template| template.end_of_turn(tokenizer));
    let mut end_of_text = Vec::from_iter(end_of_turn);
    for id in model.config().eos_token_id.iter().copied().chain(tokenizer.eos_token_id()) {
        if !end_of_text.contains(&id) {
            end_of_text.push(id);
        }
    }
    if end_of_text.is_empty() {
        let what = "neither config.json nor tokenizer_config.json names an end-of-text token";
        return Err(EngineError::checkpoint(directory, what));
    }
    Ok((template, end_of_text))
}

const OPTIMIZER: &str = "optimizer.safetensors";
/// Tokens in one forward and backward pass; what bounds the memory of activations.
pub(crate) const TOKENS_AT_ONCE: usize = 16 * 1024;

/// Statistics of a batch of any size.
fn score(model: &Model, batch: &Batch, temperature: f64) -> Result<TokenStats> {
    let mut stats = TokenStats::default();
    for part in batch.split(TOKENS_AT_ONCE) {
        stats.extend(model.score(&part, temperature as f32)?);
    }
    Ok(stats)
}

fn batch<'r>(rollouts: impl IntoIterator<Item = &'r Rollout>) -> Result<Batch> {
    let mut batch = Batch::new();
    for rollout in rollouts {
        batch.push(&rollout.prompt_ids, &rollout.completion_ids)?;
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> Recipe {
        Recipe::parse("r.toml", &format!("seed = 1\n[model]\n{text}\n")).unwrap()
    }

    /// The recipe's rotary base was read and not used where the recipe loaded a model, so a long-context stage would
    /// have been trained with a short one's.
    #[test]
    fn a_recipe_changes_the_positions_of_the_model_it_loads_and_the_size_of_its_shards() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let sizes = "hidden_size = 16\nintermediate_size = 16\nnum_hidden_layers = 1\nnum_attention_heads = 2\n\
            num_key_value_heads = 1\nmax_position_embeddings = 32";
        let fresh = Policy::create(&recipe(sizes)).unwrap();
        assert_eq!((fresh.context(), fresh.model.config().rope_theta), (32, 1e4));
        fresh.save(&path("short"), &0, 1).unwrap();
        let load = format!("load = '{}'\n", path("short").display());
        let same = Policy::create(&recipe(&load)).unwrap();
        assert_eq!(same.model.config(), fresh.model.config());

        let text = format!("{load}rope_theta = 1e6\nmax_position_embeddings = 64\nmax_shard_bytes = 2000");
        let recipe = recipe(&text);
        let long = Policy::create(&recipe).unwrap();
        assert_eq!((long.context(), long.model.config().rope_theta), (64, 1e6));
        long.save(&path("long"), &0, 1).unwrap();
        assert!(path("long/model.safetensors.index.json").exists());
        // What was written is what is gone on with; the recipe has had its effect.
        let (again, _) = Policy::load_with::<u64>(&path("long"), &recipe).unwrap();
        assert_eq!(again.model.config(), long.model.config());
    }

    #[test]
    fn prompts_go_through_the_models_template_and_rows_end_its_turn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let tokenizer =
            Tokenizer::train(&["1+1=2".to_owned()], 300, &["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
                .unwrap();
        let config = crate::model::Config::tiny(tokenizer.vocab_size(), 16, 1, 2, 1);
        Model::random(&config, 1).unwrap().save(path, Precision::F32).unwrap();
        tokenizer.save(path).unwrap();
        let load = format!("load = '{}'\n", path.display());
        let policy = |more: &str| Policy::create(&recipe(&format!("{load}{more}"))).unwrap();
        let text = |policy: &Policy| tokenizer.decode(&policy.prompt("1+1=").unwrap(), false).unwrap();

        let chat = policy("");
        assert_eq!(text(&chat), "<|im_start|>user\n1+1=<|im_end|>\n<|im_start|>assistant\n");
        let [end, turn] = ["<|endoftext|>", "<|im_end|>"].map(|token| tokenizer.token_id(token).unwrap());
        assert_eq!(chat.end_of_text, [turn, end]);
        let system = policy("system_prompt = 'Think.'");
        assert!(text(&system).starts_with("<|im_start|>system\nThink.<|im_end|>\n<|im_start|>user\n"));
        let plain = policy("chat_template = 'none'");
        assert_eq!((text(&plain).as_str(), &plain.end_of_text[..]), ("1+1=", &[end][..]));
        // The policy of a checkpoint of the run has the recipe's choice too.
        plain.save(&path.join("sft"), &0, 1).unwrap();
        let again =
            Policy::load(&path.join("sft"), &recipe(&format!("{load}chat_template = 'none'"))).unwrap();
        assert_eq!(text(&again), "1+1=");
    }

    /// A problem's function header reached the verifier and not the policy: it was judged by what it had never seen.
    #[test]
    fn problems_are_asked_by_the_recipes_templates() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let texts = ["### Question: Enclose your code within delimiters. def f(x): expert".to_owned()];
        let tokenizer =
            Tokenizer::train(&texts, 300, &["<|endoftext|>", "<|im_start|>", "<|im_end|>"]).unwrap();
        let config = crate::model::Config::tiny(tokenizer.vocab_size(), 16, 1, 2, 1);
        Model::random(&config, 1).unwrap().save(path, Precision::F32).unwrap();
        tokenizer.save(path).unwrap();
        let row = r#"{"question_id": "p", "prompt": "Double it.", "task": {"type": "code", "func_name": "f",
            "starter_code": "def f(x):", "test_cases": [{"input": "1", "output": "2"}]}}"#;
        let problem = Problem::from_json(row).unwrap();
        let asked = |more: &str| {
            let load = format!("load = '{}'\n{more}", path.display());
            let policy = Policy::create(&recipe(&load)).unwrap();
            tokenizer.decode(&policy.question(&problem).unwrap(), false).unwrap()
        };
        let turn = "<|im_start|>";
        let lcb = "\n[templates]\ncode = 'lcb'";
        let rows = [
            ("", format!("{turn}user\nDouble it.<|im_end|>\n{turn}assistant\n"), ""),
            (lcb, format!("{turn}system\nYou are an expert"), "```python\ndef f(x):\n```"),
            (
                &format!("system_prompt = 'Be brief.'{lcb}"),
                format!("{turn}system\nBe brief.<|im_end|>"),
                "def f(x):",
            ),
            // Without a chat template, in the template's own frame.
            (
                &format!("chat_template = 'none'{lcb}"),
                format!("{turn}system\nYou are an expert"),
                "def f(x):",
            ),
            ("chat_template = 'none'", "Double it.".to_owned(), ""),
        ];
        for (more, start, inside) in &rows {
            let text = asked(more);
            assert!(text.starts_with(start) && text.contains(inside), "{more}: {text}");
        }
    }

    #[test]
    fn a_small_cache_changes_no_completion() {
        let sizes = "hidden_size = 32\nintermediate_size = 32\nnum_hidden_layers = 2\nnum_attention_heads = 2\n\
            num_key_value_heads = 1\nmax_position_embeddings = 96";
        let problems = tasks::Family::ALL[0].distinct(tasks::Split::Train, 6, &mut stream(1, "test", 0));
        let problems: Vec<Problem> = problems.into_iter().map(|question| question.problem).collect();
        let sampling = Sampling {
            temperature: 1.0,
            filters: Filters::default(),
            max_completion_length: 40,
            seed: 4,
            purpose: "test",
            ..Sampling::default()
        };
        let texts = |more: &str| -> Vec<String> {
            let policy = Policy::create(&recipe(&format!("{sizes}\n{more}"))).unwrap();
            let rollouts = policy.sample(&problems, 4, &sampling).unwrap();
            rollouts.into_iter().map(|rollout| rollout.completion).collect()
        };
        let plenty = texts("");
        assert_eq!(texts("[sampler]\ncache_tokens = 160"), plenty);
        assert_eq!(texts("[sampler]\nmax_batch = 5\nbatch_invariant = true"), plenty);
        let stopped = Sampling { stop: vec!["=".to_owned()], ..sampling.clone() };
        let policy = Policy::create(&recipe(sizes)).unwrap();
        // A rollout says with what probability its tokens were drawn: of one that may be drawn, that is 1.
        let certain = Sampling { filters: Filters { top_k: 1, ..Filters::default() }, ..sampling.clone() };
        let drawn = policy.sample(&problems, 1, &certain).unwrap();
        assert!(drawn.iter().flat_map(|one| &one.logprobs).all(|logprob| logprob.abs() < 1e-6), "{drawn:?}");
        let cut = policy.sample(&problems, 4, &stopped).unwrap();
        for (one, whole) in cut.iter().zip(&plenty) {
            assert_eq!(one.completion, whole.split('=').next().unwrap());
        }
    }
}
