//! The flags by which verdicts are made, the same for every command that grades files.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use assay_sandbox::Language;
use assay_testsets::Format;
use assay_verifier::math::{MathRules, ToleranceRule};
use assay_verifier::{Extraction, JudgeOptions, LimitOverrides, Profile};

use super::language;
use super::values::{count, duration, size};

#[derive(Debug, clap::Args)]
pub(crate) struct Rules {
    /// Whose rules decide: judge (the default: a real process, its exit code counts), lcb (LiveCodeBench's verdicts), lcb-bugs
    /// (with its runner's known bugs) or acereason (the paper's toolkit)
    #[arg(long, value_name = "PROFILE", value_parser = profile)]
    pub(crate) profile: Option<Profile>,
    /// Whose rules decide over math answers: strict, math_verify, prm800k, qwen or acereason; or what a data set asks for: aime,
    /// math, gsm8k, olympiadbench or minerva
    #[arg(long, value_name = "PROFILE", default_value = "strict", value_parser = math_profile)]
    pub(crate) math_profile: MathRules,
    /// Take an unequal real number too where this condition holds, on the numbers gold and pred, gold_is_decimal,
    /// pred_is_decimal and gold_places
    #[arg(long, value_name = "RULE", value_parser = math_tolerance)]
    math_tolerance: Option<ToleranceRule>,
    /// What the problem file holds, when its first record does not say it: livecodebench, apps, taco, verl, deepcoder,
    /// open_r1, codecontests, humaneval, mbpp, multipl_e, leetcode, sandboxfusion, math or native
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub(crate) format: Option<Format>,
    /// Language of the programs, when the fences do not say it, such as python3 or cpp17
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    lang: Option<Language>,
    /// How a program is found in a completion: last_fence, lcb, verl, rllm, open_r1, acereason or whole; the profile's way
    /// when absent
    #[arg(long, value_name = "MODE", value_parser = extraction)]
    extraction: Option<Extraction>,
    /// Samples judged at once; one per core when absent
    #[arg(long, value_name = "N", value_parser = count(1..=1024_u16))]
    jobs: Option<u16>,
    /// CPU time per test, before what problem and profile say
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    cpu_time: Option<Duration>,
    /// Time a test may spend asleep or waiting
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    wall_time: Option<Duration>,
    /// Memory per test, before what problem and profile say
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// Output per test
    #[arg(long, value_name = "SIZE", value_parser = size)]
    output: Option<u64>,
    /// Keep verdicts in this directory too, for later runs: the same program, problem, rules and interpreter are not run again
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    pub(crate) cache: Option<PathBuf>,
    /// Run every sample, also programs that were judged already
    #[arg(long)]
    pub(crate) no_cache: bool,
}

impl Rules {
    /// How to judge; `preset` where the flags name no profile.
    pub(crate) fn options(&self, preset: Profile) -> JudgeOptions<'static> {
        let Rules { cpu_time, wall_time, memory, output, .. } = *self;
        JudgeOptions {
            profile: self.profile.unwrap_or(preset),
            language: self.lang,
            extraction: self.extraction,
            limits: LimitOverrides { cpu_time, wall_time, memory, output },
            math: self.math_profile,
            // One rule a process, and options are copied to every judge.
            tolerance: self.math_tolerance.clone().map(|rule| &*Box::leak(Box::new(rule))),
            in_process: true,
            ..JudgeOptions::default()
        }
    }

    pub(crate) fn jobs(&self) -> usize {
        self.jobs.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from)
    }
}

fn profile(name: &str) -> Result<Profile, String> {
    Profile::from_name(name).ok_or_else(|| "the profiles are judge, lcb, lcb-bugs and acereason".to_owned())
}

pub(crate) fn math_profile(name: &str) -> Result<MathRules, String> {
    MathRules::from_name(name).ok_or_else(|| format!("the profiles are {}", MathRules::names()))
}

pub(crate) fn math_tolerance(rule: &str) -> Result<ToleranceRule, String> {
    ToleranceRule::new(rule).map_err(|error| error.to_string())
}

fn format(name: &str) -> Result<Format, String> {
    Format::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Format::ALL.into_iter().map(Format::name).collect();
        format!("the formats are {}", names.join(", "))
    })
}

fn extraction(name: &str) -> Result<Extraction, String> {
    Extraction::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Extraction::ALL.into_iter().map(Extraction::name).collect();
        format!("the modes are {}", names.join(", "))
    })
}
