//! What makes no sense in a recipe: numbers out of their range, names that nothing has, parts that do not fit.
//!
//! The ranges are wide. They keep out what cannot be meant (a step of nothing, a decay of 2) and what would end
//! in an abort or never (10^12 rollouts), not what is merely unwise.

use std::collections::BTreeMap;
use std::fmt;

use super::{
    AdamWSettings, Eval, FRESH_CONTEXT, LoraSettings, ModelSource, Overlong, Recipe, SamplerSettings, Sft,
    Stage,
};
use crate::chat::Choice;
use crate::grpo::{Correction, Loss, PolicyTerm};
use crate::reward_client::Rewards;
use crate::tasks::{Family, Split};
use crate::temperature::BOUNDS;

use Range::{Above, Below, From};

/// Where a number may lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Range {
    /// From the first to the second.
    From(f64, f64),
    /// Above the first, at most the second.
    Above(f64, f64),
    /// At least the first, below the second.
    Below(f64, f64),
}

impl Range {
    fn holds(self, value: f64) -> bool {
        match self {
            From(least, most) => (least..=most).contains(&value),
            Above(floor, most) => value > floor && value <= most,
            Below(least, ceiling) => (least..ceiling).contains(&value),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            From(least, most) => write!(f, "from {least} to {most}"),
            Above(floor, most) => write!(f, "above {floor} and at most {most}"),
            Below(least, ceiling) => write!(f, "at least {least} and below {ceiling}"),
        }
    }
}

/// A number with its key and its range.
type Number<'k> = (&'k str, f64, Range);

/// The first number that is out of its range.
pub(crate) fn out_of_range(numbers: &[Number<'_>]) -> Option<String> {
    let (key, value, range) = numbers.iter().find(|(_, value, range)| !range.holds(*value))?;
    // 1e300 in full would be a line of zeros.
    let value = if value.abs() < 1e16 { format!("{value}") } else { format!("{value:e}") };
    Some(format!("{key} must be {range}, not {value}"))
}

/// A sampling temperature where 0 is allowed and means greedy.
pub(crate) fn temperature_mistake(key: &str, value: f64) -> Option<String> {
    let [least, most] = BOUNDS;
    let fine = value == 0.0 || From(least, most).holds(value);
    (!fine).then(|| format!("{key} must be 0 (greedy) or from {least} to {most}, not {value}"))
}

/// So many of a generated family, of which there are not as many held-out ones.
pub(crate) fn too_many(key: &str, source: &str, n: usize) -> Option<String> {
    let size = Family::named(source)?.size(Split::HeldOut);
    (n > size).then(|| {
        format!("{key} asks for {n} of {source}, whose held-out split has {size}: ask for at most that")
    })
}

/// Trained numbers of a fresh model: with gradients and moments four floats each, 4 GB.
const MOST_PARAMETERS: usize = 250_000_000;
/// Rollouts of a step: 16 times the paper's largest.
const MOST_ROLLOUTS: f64 = 65_536.0;
/// Completions of an evaluation.
const MOST_COMPLETIONS: f64 = 1_048_576.0;
/// Of whatever comes in batches: prompts, rows, problems, rollouts of a probe.
const MOST_ROWS: f64 = 65_536.0;
/// Of whatever is counted in steps.
const MOST_STEPS: f64 = 10_000_000.0;
/// Kept of a run.
const MOST_CHECKPOINTS: f64 = 10_000.0;
/// Of a file.
const MOST_BYTES: f64 = 1e15;
/// Ids of a vocabulary.
const MOST_TOKENS_OF_VOCABULARY: f64 = 16_777_216.0;
/// Of a sequence.
pub(super) const MOST_TOKENS: f64 = 131_072.0;

impl Recipe {
    /// The first thing that makes no sense.
    pub(super) fn mistake(&self) -> Option<String> {
        let sft = || self.sft.as_ref().and_then(Sft::mistake);
        let stage = |stage: &Stage| Some(format!("stage `{}`: {}", stage.name, stage.mistake()?));
        self.model
            .mistake()
            .or_else(|| self.lora.as_ref()?.mistake(&self.model))
            .or_else(|| self.adamw.mistake())
            .or_else(|| self.sampler.mistake())
            .or_else(|| self.rewards.mistake())
            .or_else(|| self.cores.mistake(self.rewards.urls.is_empty()))
            .or_else(|| self.memory.mistake(self.rewards.urls.is_empty()))
            .or_else(|| {
                let (keep, dump) = (self.checkpoints.keep as f64, self.dump);
                out_of_range(&[
                    ("checkpoints.keep", keep, From(1.0, MOST_CHECKPOINTS)),
                    ("dump.rollouts", dump.rollouts as f64, From(0.0, MOST_ROLLOUTS)),
                    ("dump.steps", dump.steps as f64, From(0.0, MOST_STEPS)),
                ])
            })
            .or_else(sft)
            .or_else(|| self.problems.iter().find_map(|(name, file)| file.mistake(name)))
            .or_else(|| self.unknown_source())
            .or_else(|| self.eval.mistake())
            .or_else(|| self.unfit_name())
            .or_else(|| self.rl.iter().find_map(stage))
            .or_else(|| self.blind_rule())
            .or_else(|| self.without_epochs())
            .or_else(|| self.too_long(self.model.context()?))
    }

    fn unknown_source(&self) -> Option<String> {
        let of_stage = |stage: &Stage| {
            stage.prompts.keys().map(|s| (format!("stage `{}`", stage.name), s.clone())).collect()
        };
        let stages = self.rl.iter().flat_map(|stage| -> Vec<(String, String)> { of_stage(stage) });
        let eval = self.eval.problems.keys().map(|source| ("eval.problems".to_owned(), source.clone()));
        let known = |source: &str| Family::named(source).is_some() || self.problems.contains_key(source);
        let (at, source) = eval.chain(stages).find(|(_, source)| !known(source))?;
        Some(format!(
            "{at} names the source `{source}`; known are arithmetic, programs and the names of [problems]"
        ))
    }

    /// A stage's name is its key in `metrics.jsonl`.
    fn unfit_name(&self) -> Option<String> {
        let mut seen = std::collections::BTreeSet::new();
        self.rl.iter().find_map(|Stage { name, .. }| {
            if name.trim().is_empty() || name.contains(char::is_control) {
                return Some(format!("rl.name is {name:?}; give each stage a name, as \"math-1\""));
            }
            (!seen.insert(name))
                .then(|| format!("rl.name is {name:?} twice; give each stage a name of its own"))
        })
    }

    /// A rule that waits for looks that are never taken.
    fn blind_rule(&self) -> Option<String> {
        let blind = self.rl.iter().find(|stage| stage.until.flat_looks.is_some() && self.eval.every == 0)?;
        Some(format!("stage `{}`: until.flat_looks counts looks, and eval.every is 0: set it", blind.name))
    }

    /// Of what is generated nothing comes again, so there is nothing to leave out.
    fn without_epochs(&self) -> Option<String> {
        let dropping = self.rl.iter().filter(|stage| stage.drop_solved);
        let mut sources = dropping.flat_map(|stage| stage.prompts.keys().map(move |source| (stage, source)));
        let (stage, source) = sources.find(|(_, source)| Family::named(source).is_some())?;
        Some(format!(
            "stage `{}`: drop_solved is for files, and `{source}` is generated without end: remove one of them",
            stage.name
        ))
    }

    /// Completions that do not fit into a context of so many tokens, the prompt's among them.
    pub(crate) fn too_long(&self, context: usize) -> Option<String> {
        let stage = |stage: &Stage| {
            (format!("stage `{}`: max_completion_length", stage.name), stage.max_completion_length)
        };
        let looks = self.sft.as_ref().is_some_and(|sft| !sft.until.is_empty());
        let eval = (looks || !self.eval.problems.is_empty())
            .then(|| ("eval.max_completion_length".to_owned(), self.eval.max_completion_length));
        let (key, length) = eval.into_iter().chain(self.rl.iter().map(stage)).find(|(_, n)| *n >= context)?;
        Some(format!(
            "{key} is {length}; the model's context is {context} tokens, the prompt included: choose less"
        ))
    }
}

impl ModelSource {
    /// The context, if the recipe says it; a loaded model's own is known once it is loaded.
    fn context(&self) -> Option<usize> {
        let fresh = self.load.is_none().then_some(FRESH_CONTEXT);
        self.max_position_embeddings.or(fresh)
    }

    fn mistake(&self) -> Option<String> {
        let numbers = [
            ("model.hidden_size", self.hidden_size as f64, From(2.0, 16_384.0)),
            ("model.intermediate_size", self.intermediate_size as f64, From(1.0, 65_536.0)),
            ("model.num_hidden_layers", self.num_hidden_layers as f64, From(1.0, 256.0)),
            ("model.num_attention_heads", self.num_attention_heads as f64, From(1.0, 256.0)),
            ("model.num_key_value_heads", self.num_key_value_heads as f64, From(1.0, 256.0)),
            ("model.max_position_embeddings", self.context().unwrap_or(2) as f64, From(2.0, MOST_TOKENS)),
            ("model.rope_theta", f64::from(self.rope_theta.unwrap_or(1.0)), From(1.0, 1e9)),
            ("model.max_shard_bytes", self.max_shard_bytes as f64, From(1.0, MOST_BYTES)),
            ("model.max_activation_bytes", self.max_activation_bytes as f64, From(0.0, MOST_BYTES)),
            ("model.initializer_range", f64::from(self.initializer_range), Above(0.0, 1.0)),
        ];
        let unused = self.system_prompt.is_some() && self.chat_template == Choice::None;
        let unused = unused
            .then(|| "model.system_prompt needs a chat template; model.chat_template is none".to_owned());
        unused.or_else(|| out_of_range(&numbers)).or_else(|| {
            let count = self.config(crate::tasks::VOCABULARY).parameter_count();
            (self.load.is_none() && count > MOST_PARAMETERS).then(|| {
                format!(
                    "the sizes of [model] make {count} parameters; a fresh model has at most {MOST_PARAMETERS}: \
                     make hidden_size, intermediate_size or num_hidden_layers smaller"
                )
            })
        })
    }
}

impl LoraSettings {
    fn mistake(&self, model: &ModelSource) -> Option<String> {
        let numbers = [
            ("lora.rank", self.rank as f64, From(1.0, 1024.0)),
            ("lora.alpha", self.alpha, Above(0.0, 65_536.0)),
        ];
        out_of_range(&numbers).or_else(|| match () {
            () if self.dropout.is_some_and(|share| share != 0.0) => Some(
                "lora.dropout is refused: it would make the trained policy another than the sampled one"
                    .to_owned(),
            ),
            () if self.target_modules.is_empty() => {
                Some("lora.target_modules is empty; leave it out for all linears of a layer".to_owned())
            }
            () if model.load.is_none() => {
                Some("lora needs model.load: random weights under an adapter never learn".to_owned())
            }
            () => None,
        })
    }
}

impl AdamWSettings {
    fn mistake(&self) -> Option<String> {
        out_of_range(&[
            ("adamw.betas[0]", self.betas.0, Below(0.0, 1.0)),
            ("adamw.betas[1]", self.betas.1, Below(0.0, 1.0)),
            ("adamw.eps", self.eps, Above(0.0, 1.0)),
            ("adamw.weight_decay", self.weight_decay, From(0.0, 1.0)),
        ])
    }
}

impl SamplerSettings {
    fn mistake(&self) -> Option<String> {
        out_of_range(&[
            ("sampler.max_batch", self.max_batch as f64, From(1.0, 4096.0)),
            // A page, at least.
            ("sampler.cache_tokens", self.cache_tokens.unwrap_or(16) as f64, From(16.0, 1e12)),
        ])
    }
}

impl Rewards {
    /// The first setting that cannot work.
    pub(crate) fn mistake(&self) -> Option<String> {
        let numbers = [
            ("rewards.batch", self.batch as f64, From(1.0, 4096.0)),
            ("rewards.in_flight", self.in_flight as f64, From(1.0, 1024.0)),
            ("rewards.attempts", f64::from(self.attempts), From(1.0, 100.0)),
            ("rewards.timeout", self.timeout, From(0.01, 86_400.0)),
            ("rewards.deadline", self.deadline, From(0.01, 604_800.0)),
            ("rewards.pause", self.pause, From(0.0, 10.0)),
        ];
        let usable = |url: &String| {
            reqwest::Url::parse(url)
                .is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
        };
        let bad = self.urls.iter().find(|url| !usable(url));
        let bad = bad.map(|url| format!("rewards.urls: expected http(s)://HOST:PORT, not {url:?}"));
        bad.or_else(|| out_of_range(&numbers))
    }
}

impl Sft {
    fn mistake(&self) -> Option<String> {
        let families = self.rows.keys().map(|name| ("sft.rows", name));
        let mut families = families.chain(self.until.keys().map(|name| ("sft.until", name)));
        if let Some((key, family)) = families.find(|(_, name)| Family::named(name).is_none()) {
            return Some(format!("{key} names the family `{family}`; known are arithmetic and programs"));
        }
        // Its accuracy would never be looked at, and the SFT would end at the first look.
        if let Some(family) = self.until.keys().find(|name| !self.rows.contains_key(*name)) {
            return Some(format!("sft.until names `{family}`, of which sft.rows has none"));
        }
        self.number_out_of_range().or_else(|| {
            if total(&self.rows) + self.file_rows as f64 == 0.0 {
                return Some("sft has no rows: give sft.rows, or sft.file with sft.file_rows".to_owned());
            }
            (self.file.is_some() != (self.file_rows > 0))
                .then(|| "sft.file and sft.file_rows go together".to_owned())
        })
    }

    fn number_out_of_range(&self) -> Option<String> {
        let numbers = [
            ("sft.file_rows", self.file_rows as f64, From(0.0, MOST_ROWS)),
            ("sft.max_length", self.max_length.unwrap_or(2) as f64, From(2.0, MOST_TOKENS)),
            ("sft.steps", self.steps as f64, From(1.0, MOST_STEPS)),
            ("sft.learning_rate", self.learning_rate, Above(0.0, 1.0)),
            ("sft.warmup", self.warmup as f64, From(0.0, MOST_STEPS)),
            ("sft.check_every", self.check_every as f64, From(1.0, MOST_STEPS)),
        ];
        let until = |(name, goal): (&String, &f64)| {
            out_of_range(&[(&format!("sft.until.{name}"), *goal, From(0.0, 1.0))])
        };
        counts("sft.rows", &self.rows, From(0.0, MOST_ROWS))
            .or_else(|| out_of_range(&numbers))
            .or_else(|| self.until.iter().find_map(until))
    }
}

impl Eval {
    fn mistake(&self) -> Option<String> {
        let numbers = [
            ("eval.every", self.every as f64, From(0.0, MOST_STEPS)),
            ("eval.samples", self.samples as f64, From(1.0, 1024.0)),
            ("eval.top_k", self.top_k as f64, From(0.0, MOST_TOKENS_OF_VOCABULARY)),
            ("eval.top_p", self.top_p, From(0.0, 1.0)),
            ("eval.min_p", self.min_p, From(0.0, 1.0)),
            ("eval.max_completion_length", self.max_completion_length as f64, From(1.0, MOST_TOKENS)),
            (
                "eval.problems times eval.samples",
                total(&self.problems) * self.samples as f64,
                From(0.0, MOST_COMPLETIONS),
            ),
        ];
        counts("eval.problems", &self.problems, From(1.0, MOST_ROWS))
            .or_else(|| self.problems.iter().find_map(|(source, n)| too_many("eval.problems", source, *n)))
            .or_else(|| out_of_range(&numbers))
            .or_else(|| temperature_mistake("eval.temperature", self.temperature))
            .or_else(|| {
                let nothing = self.every > 0 && self.problems.is_empty();
                nothing
                    .then(|| "eval.every is set, and eval.problems is empty: name some problems".to_owned())
            })
            .or_else(|| {
                let empty = self.stop.iter().any(String::is_empty);
                empty.then(|| "eval.stop has an empty text, which would stop everything".to_owned())
            })
    }
}

impl Stage {
    fn mistake(&self) -> Option<String> {
        let filters = [
            ("top_p", self.top_p, From(0.0, 1.0)),
            ("top_k", self.top_k.map(|count| count as f64), From(0.0, MOST_TOKENS_OF_VOCABULARY)),
            ("min_p", self.min_p, From(0.0, 1.0)),
        ];
        let uncorrected = self.loss.mismatch.correction == Correction::None;
        if let Some((name, ..)) = filters.iter().find(|(_, value, _)| value.is_some()).filter(|_| uncorrected)
        {
            return Some(format!(
                "{name} is refused in rl without a correction: it makes the sampled distribution another than the trained \
                 one; leave it out, or set loss.mismatch.correction"
            ));
        }
        let set: Vec<_> =
            filters.iter().filter_map(|&(name, value, range)| Some((name, value?, range))).collect();
        counts("prompts", &self.prompts, From(0.0, MOST_ROWS))
            .or_else(|| out_of_range(&set))
            .or_else(|| {
                let none = total(&self.prompts) == 0.0;
                none.then(|| "prompts is empty: give at least one source, as { arithmetic = 64 }".to_owned())
            })
            .or_else(|| out_of_range(&self.numbers()))
            .or_else(|| self.unordered_band())
            .or_else(|| self.loss.mistake(self.prompts_per_step()))
            .or_else(|| {
                let (buffer, most) = (self.overlong_buffer, self.max_completion_length);
                (self.overlong == Overlong::Soft && buffer > most).then(|| {
                    format!("overlong_buffer is {buffer}; it must be at most max_completion_length, {most}")
                })
            })
    }

    fn numbers(&self) -> Vec<Number<'static>> {
        let temperature = &self.temperature;
        let [floor, ceiling] = BOUNDS;
        let mut numbers = vec![
            // One alone has nothing to be compared with.
            ("rollouts", self.rollouts as f64, From(2.0, 1024.0)),
            ("prompts times rollouts", total(&self.prompts) * self.rollouts as f64, From(2.0, MOST_ROLLOUTS)),
            ("steps", self.steps as f64, From(1.0, MOST_STEPS)),
            ("until.flat_looks", self.until.flat_looks.unwrap_or(1) as f64, From(1.0, MOST_STEPS)),
            ("until.reward", self.until.reward.unwrap_or(0.0), From(-100.0, 100.0)),
            ("until.truncated", self.until.truncated.unwrap_or(0.0), From(0.0, 1.0)),
            ("max_completion_length", self.max_completion_length as f64, From(1.0, MOST_TOKENS)),
            ("learning_rate", self.learning_rate, Above(0.0, 1.0)),
            ("max_grad_norm", self.max_grad_norm, From(0.0, 1e6)),
            ("save_every", self.save_every as f64, From(1.0, MOST_STEPS)),
            ("overlong_buffer", self.overlong_buffer as f64, From(1.0, MOST_TOKENS)),
            ("overlong_penalty", self.overlong_penalty, From(0.0, 100.0)),
            ("temperature.start", temperature.start, From(floor, ceiling)),
            ("temperature.target", temperature.target, Above(0.0, MOST_ENTROPY)),
            ("temperature.tolerance", temperature.tolerance, Above(0.0, MOST_ENTROPY)),
            ("temperature.probe", temperature.probe as f64, From(1.0, MOST_ROWS)),
        ];
        let ends = [
            ("temperature.dead_band", temperature.dead_band),
            ("temperature.alarm_band", temperature.alarm_band),
        ];
        numbers
            .extend(ends.iter().flat_map(|(key, band)| band.map(|end| (*key, end, From(0.0, MOST_ENTROPY)))));
        numbers
    }

    fn unordered_band(&self) -> Option<String> {
        let bands = [("dead_band", self.temperature.dead_band), ("alarm_band", self.temperature.alarm_band)];
        let (key, [low, high]) = bands.into_iter().find(|(_, [low, high])| low > high)?;
        Some(format!("temperature.{key} must rise, not go from {low} to {high}"))
    }
}

impl Loss {
    fn mistake(&self, prompts: usize) -> Option<String> {
        let [low, high] = self.mismatch.bounds();
        let numbers = [
            ("loss.clip_low", self.clip_low, From(0.0, 1.0)),
            ("loss.clip_high", self.clip_high, From(0.0, 1000.0)),
            ("loss.dual_clip", self.dual_clip.unwrap_or(2.0), Above(1.0, 1000.0)),
            ("loss.updates", self.updates as f64, From(1.0, 64.0)),
            ("loss.max_batches", self.max_batches as f64, From(1.0, 1000.0)),
            ("loss.kl.coefficient", self.kl.coefficient, From(0.0, 100.0)),
            ("loss.mismatch.low", low, From(0.0, 1.0)),
            ("loss.mismatch.high", high, From(1.0, 1000.0)),
        ];
        out_of_range(&numbers).or_else(|| {
            let Loss { updates, dual_clip, policy, mismatch, .. } = self;
            let unused = mismatch.low.is_some() || mismatch.high.is_some();
            match () {
                () if *updates > prompts => Some(format!(
                    "loss.updates is {updates} with {prompts} prompts per step; an update needs at least one prompt"
                )),
                () if dual_clip.is_some() && *policy == PolicyTerm::Cispo => {
                    Some("loss.dual_clip has no meaning in cispo, which clips no gradient; leave one out".to_owned())
                }
                () if unused && mismatch.correction == Correction::None => {
                    Some("loss.mismatch has bounds but no correction; name one, or leave them out".to_owned())
                }
                () => None,
            }
        })
    }
}

/// Nats per token; a vocabulary would need 485 million tokens to have more.
const MOST_ENTROPY: f64 = 20.0;

/// The first of some counts by source that is out of range.
fn counts(key: &str, counts: &BTreeMap<String, usize>, range: Range) -> Option<String> {
    counts.iter().find_map(|(name, n)| out_of_range(&[(&format!("{key}.{name}"), *n as f64, range)]))
}

/// As a float: a sum of counts that are out of range must not overflow either.
fn total(counts: &BTreeMap<String, usize>) -> f64 {
    counts.values().map(|n| *n as f64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "[model]\n[sft]\nrows = { arithmetic = 4 }\nsteps = 2\nlearning_rate = 1e-3\n\
        [eval]\nproblems = { arithmetic = 4 }\n[[rl]]\nname = 'm'\nprompts = { arithmetic = 4 }\nrollouts = 4\n\
        steps = 2\nmax_completion_length = 8\nlearning_rate = 1e-4\n";

    /// A table of the whole recipe with one more line.
    fn with(table: &str, line: &str) -> String {
        match table {
            "adamw" | "lora" | "rewards" | "cores" | "memory" | "sampler" | "checkpoints" | "dump" => {
                format!("{WHOLE}[{table}]\n{line}\n")
            }
            "rl.temperature" => format!("{WHOLE}temperature = {{ {line} }}\n"),
            "rl.loss" => format!("{WHOLE}loss = {{ {line} }}\n"),
            _ => {
                let key = format!("{} =", line.split('=').next().unwrap_or_default().trim());
                let mut text = String::new();
                let mut here = false;
                for old in WHOLE.lines() {
                    here = if old.starts_with('[') { old.trim_matches(['[', ']']) == table } else { here };
                    if !(here && old.starts_with(&key)) {
                        text += &format!("{old}\n");
                    }
                    if old.starts_with('[') && here {
                        text += &format!("{line}\n");
                    }
                }
                text
            }
        }
    }

    /// Each of these was taken without a word, and then panicked (timeout), aborted (10^12 of anything), never ended
    /// (10^9 layers), or trained something that nobody meant.
    #[test]
    fn a_number_out_of_its_range_is_named_with_key_value_and_range() {
        assert!(Recipe::parse("r.toml", WHOLE).is_ok());
        let rows = [
            (
                "model",
                "hidden_size = 1000000000",
                "model.hidden_size must be from 2 to 16384, not 1000000000",
            ),
            ("model", "num_hidden_layers = 1000000000", "model.num_hidden_layers must be from 1 to 256"),
            ("model", "hidden_size = 16384", "a fresh model has at most 250000000"),
            ("model", "rope_theta = nan", "model.rope_theta must be from 1 to 1000000000, not NaN"),
            (
                "model",
                "initializer_range = inf",
                "model.initializer_range must be above 0 and at most 1, not inf",
            ),
            (
                "model",
                "max_position_embeddings = 8",
                "eval.max_completion_length is 64; the model's context is 8",
            ),
            (
                "model",
                "max_shard_bytes = 0",
                "model.max_shard_bytes must be from 1 to 1000000000000000, not 0",
            ),
            ("model", "chat_template = 'chatlm'", "expected auto, none, chatml or the path of a .jinja file"),
            (
                "model",
                "chat_template = 'none'\nsystem_prompt = 'Think.'",
                "model.system_prompt needs a chat template",
            ),
            ("lora", "rank = 0", "lora.rank must be from 1 to 1024, not 0"),
            ("lora", "alpha = 0", "lora.alpha must be above 0 and at most 65536, not 0"),
            ("lora", "dropout = 0.05", "lora.dropout is refused"),
            ("lora", "target_modules = []", "lora.target_modules is empty; leave it out for all"),
            ("lora", "target_modules = ['q']", "unknown variant `q`, expected one of `q_proj`, `k_proj`"),
            ("lora", "r = 8", "unknown field `r`, expected one of `load`, `rank`"),
            ("lora", "rank = 8", "lora needs model.load"),
            ("adamw", "betas = [0.9, 1.0]", "adamw.betas[1] must be at least 0 and below 1, not 1"),
            ("adamw", "betas = [-0.1, 0.9]", "adamw.betas[0] must be at least 0 and below 1, not -0.1"),
            ("adamw", "eps = 0.0", "adamw.eps must be above 0 and at most 1, not 0"),
            ("adamw", "weight_decay = nan", "adamw.weight_decay must be from 0 to 1, not NaN"),
            ("sampler", "max_batch = 0", "sampler.max_batch must be from 1 to 4096, not 0"),
            ("sampler", "cache_tokens = 3", "sampler.cache_tokens must be from 16 to 1000000000000, not 3"),
            ("rewards", "timeout = -1.0", "rewards.timeout must be from 0.01 to 86400, not -1"),
            ("rewards", "timeout = inf", "rewards.timeout must be from 0.01 to 86400, not inf"),
            ("rewards", "attempts = 0", "rewards.attempts must be from 1 to 100, not 0"),
            ("rewards", "batch = 0", "rewards.batch must be from 1 to 4096, not 0"),
            ("rewards", "in_flight = 0", "rewards.in_flight must be from 1 to 1024, not 0"),
            ("rewards", "pause = 1e300", "rewards.pause must be from 0 to 10, not 1e300"),
            ("rewards", "urls = ['zzz']", "rewards.urls: expected http(s)://HOST:PORT, not \"zzz\""),
            ("rewards", "urls = ['ftp://x:1']", "rewards.urls: expected http(s)://HOST:PORT"),
            ("rewards", "deadline = 0.0", "rewards.deadline must be from 0.01 to 604800, not 0"),
            ("sft", "rows = { arithmetic = 1000000000000 }", "sft.rows.arithmetic must be from 0 to 65536"),
            ("sft", "steps = 0", "sft.steps must be from 1 to 10000000, not 0"),
            ("sft", "check_every = 0", "sft.check_every must be from 1 to 10000000, not 0"),
            ("sft", "learning_rate = 0.0", "sft.learning_rate must be above 0 and at most 1, not 0"),
            ("sft", "learning_rate = nan", "sft.learning_rate must be above 0 and at most 1, not NaN"),
            ("sft", "until = { arithmetic = 1.5 }", "sft.until.arithmetic must be from 0 to 1, not 1.5"),
            ("sft", "until = { programs = 0.5 }", "sft.until names `programs`, of which sft.rows has none"),
            ("checkpoints", "keep = 0", "checkpoints.keep must be from 1 to 10000, not 0"),
            ("dump", "rollouts = 65537", "dump.rollouts must be from 0 to 65536, not 65537"),
            ("eval", "problems = {}\nevery = 2", "eval.every is set, and eval.problems is empty"),
            ("eval", "samples = 0", "eval.samples must be from 1 to 1024, not 0"),
            ("eval", "top_p = 1.5", "eval.top_p must be from 0 to 1, not 1.5"),
            ("eval", "min_p = nan", "eval.min_p must be from 0 to 1, not NaN"),
            ("eval", "stop = ['x', '']", "eval.stop has an empty text"),
            ("eval", "temperature = -1.0", "eval.temperature must be 0 (greedy) or from 0.05 to 20, not -1"),
            (
                "eval",
                "max_completion_length = 128",
                "eval.max_completion_length is 128; the model's context is 128",
            ),
            (
                "rl",
                "rollouts = 1000000000000",
                "stage `m`: rollouts must be from 2 to 1024, not 1000000000000",
            ),
            (
                "rl",
                "prompts = { arithmetic = 1000000000000 }",
                "stage `m`: prompts.arithmetic must be from 0 to 65536",
            ),
            (
                "rl",
                "prompts = { arithmetic = 65536 }",
                "stage `m`: prompts times rollouts must be from 2 to 65536",
            ),
            (
                "rl",
                "max_completion_length = 128",
                "stage `m`: max_completion_length is 128; the model's context is 128",
            ),
            ("rl", "learning_rate = nan", "stage `m`: learning_rate must be above 0 and at most 1, not NaN"),
            ("rl", "max_grad_norm = -1.0", "stage `m`: max_grad_norm must be from 0 to 1000000, not -1"),
            ("rl", "save_every = 0", "stage `m`: save_every must be from 1 to 10000000, not 0"),
            ("rl", "steps = 0", "stage `m`: steps must be from 1 to 10000000, not 0"),
            ("rl", "until = { reward = nan }", "stage `m`: until.reward must be from -100 to 100, not NaN"),
            ("rl", "until = { truncated = 2.0 }", "stage `m`: until.truncated must be from 0 to 1, not 2"),
            (
                "rl",
                "drop_solved = true",
                "stage `m`: drop_solved is for files, and `arithmetic` is generated",
            ),
            (
                "rl",
                "until = { flat_looks = 3 }",
                "stage `m`: until.flat_looks counts looks, and eval.every is 0",
            ),
            ("cores", "trainer = '0-1'\nverifier = '1-2'", "cores.trainer and cores.verifier share core 1"),
            (
                "memory",
                "verifier_bytes = 1000",
                "memory.verifier_bytes must be at least 1140850688, for itself",
            ),
            ("cores", "verifier = '4/3'", "expected a share of the cores as \"3/4\""),
            ("cores", "trainer = 'all'", "expected cores as \"0-3,8\", all below"),
            ("rl", "name = ''", "rl.name is \"\"; give each stage a name"),
            (
                "rl.temperature",
                "start = nan",
                "stage `m`: temperature.start must be from 0.05 to 20, not NaN",
            ),
            ("rl.temperature", "probe = 0", "stage `m`: temperature.probe must be from 1 to 65536, not 0"),
            (
                "rl",
                "overlong = 'soft'",
                "stage `m`: overlong_buffer is 4096; it must be at most max_completion_length, 8",
            ),
            ("rl", "overlong_penalty = -1.0", "stage `m`: overlong_penalty must be from 0 to 100, not -1"),
            ("rl.loss", "clip_low = 1.5", "stage `m`: loss.clip_low must be from 0 to 1, not 1.5"),
            ("rl.loss", "clip_high = nan", "stage `m`: loss.clip_high must be from 0 to 1000, not NaN"),
            (
                "rl.loss",
                "dual_clip = 1.0",
                "stage `m`: loss.dual_clip must be above 1 and at most 1000, not 1",
            ),
            (
                "rl.loss",
                "policy = 'cispo', dual_clip = 3.0",
                "stage `m`: loss.dual_clip has no meaning in cispo",
            ),
            ("rl.loss", "max_batches = 0", "stage `m`: loss.max_batches must be from 1 to 1000, not 0"),
            ("rl.loss", "policy = 'pop'", "unknown variant `pop`, expected one of `ppo`, `gspo`, `cispo`"),
            ("rl.loss", "updates = 5", "stage `m`: loss.updates is 5 with 4 prompts per step"),
            (
                "rl.loss",
                "kl = { coefficient = -0.1 }",
                "stage `m`: loss.kl.coefficient must be from 0 to 100",
            ),
            ("rl.loss", "mismatch = { high = 2.0 }", "stage `m`: loss.mismatch has bounds but no correction"),
            (
                "rl.loss",
                "mismatch = { correction = 'mask', low = 2.0 }",
                "stage `m`: loss.mismatch.low must be from 0 to 1, not 2",
            ),
            (
                "rl.temperature",
                "dead_band = [0.4, 0.2]",
                "temperature.dead_band must rise, not go from 0.4 to 0.2",
            ),
        ];
        for (table, line, words) in rows {
            let error = Recipe::parse("r.toml", &with(table, line)).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(words), "[{table}] {line}\n-> {error}");
            assert!(!error.contains('\n'), "one line: {error}");
        }
    }

    #[test]
    fn two_stages_of_one_name_are_refused() {
        let stage = &WHOLE[WHOLE.find("[[rl]]").unwrap()..];
        let error = Recipe::parse("r.toml", &format!("{WHOLE}{stage}")).unwrap_err().to_string();
        assert!(error.contains("rl.name is \"m\" twice"), "{error}");
    }

    #[test]
    fn the_first_key_that_differs_is_named() {
        let recipe = |text: &str| Recipe::parse("r.toml", text).unwrap();
        let whole = recipe(WHOLE);
        let rows = [
            ("rl", "learning_rate = 2e-4", Some("rl[0].learning_rate is 0.0002 here and 0.0001 there")),
            ("rl", "rollouts = 8", Some("rl[0].rollouts is 8 here and 4 there")),
            (
                "sft",
                "until = { arithmetic = 0.5 }",
                Some("sft.until.arithmetic is 0.5 here and not set there"),
            ),
            ("model", "hidden_size = 64", Some("model.hidden_size is 64 here and 128 there")),
            ("rewards", "attempts = 2", None),
            ("checkpoints", "keep = 7", None),
            ("sft", "steps = 2", None),
        ];
        for (table, line, words) in rows {
            let difference = recipe(&with(table, line)).difference(&whole);
            assert_eq!(difference.as_deref(), words, "[{table}] {line}");
        }
    }
}
