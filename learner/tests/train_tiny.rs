//! The loop learns, repeats itself after a cut, and calibrates, on a policy of two layers with a reward function
//! in this process.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;

use assay_learner::diagnosis::Finding;
use assay_learner::metrics::{self, StepMetrics};
use assay_learner::optim::Moments;
use assay_learner::policy::Sampling;
use assay_learner::progress::Progress;
use assay_learner::recipe::{LoraSettings, ProblemFile, Recipe};
use assay_learner::reward_client::{Answer, Ask, Grade, RewardError};
use assay_learner::run::Run;
use assay_learner::tensorboard;
use assay_learner::train::{CHECKPOINT, METRICS, State, TrainError, Trainer};

/// Scores a completion by a function of its text; breaks down at one call if told to.
struct Local {
    score: fn(&str) -> f64,
    calls: Cell<u32>,
    breaks_at: Option<u32>,
}

impl Local {
    fn new(score: fn(&str) -> f64) -> Local {
        Local { score, calls: Cell::new(0), breaks_at: None }
    }
}

impl Grade for Local {
    fn grade(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, RewardError> {
        self.calls.set(self.calls.get() + 1);
        if self.breaks_at == Some(self.calls.get()) {
            return Err(RewardError::Setup("broken on purpose".to_owned()));
        }
        let answer =
            |ask: &Ask<'_>| Answer::Graded { reward: (self.score)(ask.completion), verdict: String::new() };
        Ok(asks.iter().map(answer).collect())
    }
}

/// The share of digits: a reward dense enough to be found from random weights.
fn digits(completion: &str) -> f64 {
    completion.chars().filter(char::is_ascii_digit).count() as f64 / completion.chars().count().max(1) as f64
}

fn recipe(steps: u64) -> Recipe {
    let text = format!(
        "seed = 3\n[model]\nhidden_size = 32\nintermediate_size = 64\nnum_hidden_layers = 2\n\
         num_attention_heads = 2\nnum_key_value_heads = 1\nmax_position_embeddings = 32\n\
         [[rl]]\nname = 'first'\nprompts = {{ arithmetic = 8 }}\nrollouts = 8\nsteps = {steps}\n\
         max_completion_length = 6\nlearning_rate = 5e-3\nsave_every = 2\ntemperature = {{ mode = 'fixed' }}\n\
         [[rl]]\nname = 'second'\nprompts = {{ arithmetic = 4 }}\nrollouts = 4\nsteps = 2\n\
         max_completion_length = 6\nlearning_rate = 5e-3\n\
         temperature = {{ mode = 'servo', tolerance = 9.0, probe = 8 }}\n"
    );
    Recipe::parse("test.toml", &text).unwrap()
}

fn lines(out: &Path) -> Vec<StepMetrics> {
    metrics::read(&out.join(METRICS)).unwrap()
}

#[test]
fn the_reward_rises() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::start(recipe(40), dir.path(), Progress::quiet()).unwrap();
    run.rl(&Local::new(digits), dir.path(), false).unwrap();
    let lines = lines(dir.path());
    assert_eq!(lines.len(), 42);
    let reward =
        |lines: &[StepMetrics]| lines.iter().map(|line| line.reward_mean).sum::<f64>() / lines.len() as f64;
    let (first, last) = (reward(&lines[..5]), reward(&lines[35..40]));
    assert!(first < 0.2 && last > 0.6, "reward went from {first} to {last}");
    let gap = lines.iter().map(|line| line.logprob_gap).fold(0.0, f64::max);
    assert!(
        gap < 1e-4,
        "the sampler and the trainer are one model, but their log-probabilities differ by {gap}"
    );
    assert!(lines.iter().all(|line| line.infra_error_fraction == 0.0));
}

/// The recipe with every part of the general loss that has a state or draws: a reference, several updates a step, moments
/// whose rounding is drawn.
fn general_recipe() -> Recipe {
    let mut recipe = recipe(5);
    recipe.adamw.moments = Moments::Blocks;
    recipe.rl[0].loss = toml::from_str(
        "policy = 'gspo'\naggregate = 'sequence_mean'\nadvantage = 'leave_one_out'\nupdates = 3\n\
         kl = { coefficient = 0.05 }\nmismatch = { correction = 'truncate' }\nzero_variance = 'drop'\n",
    )
    .unwrap();
    recipe
}

/// The recipe with prompts of a file, which both stages walk through, past its end; steps are filled up from it too.
fn file_recipe(dir: &Path) -> Recipe {
    let path = dir.join("p.jsonl");
    let row = |n: usize| format!("{{\"id\": {n}, \"problem\": \"{n}+0=\", \"answer\": {n}}}\n");
    std::fs::write(&path, (0..27).map(row).collect::<String>()).unwrap();
    let mut recipe = recipe(5);
    recipe.problems = [("mine".to_owned(), ProblemFile { path, ..ProblemFile::default() })].into();
    recipe.dump.rollouts = 1024;
    for stage in &mut recipe.rl {
        stage.prompts = [("mine".to_owned(), stage.prompts_per_step())].into();
    }
    recipe.rl[1].loss = toml::from_str("zero_variance = 'refill'\nmax_batches = 3\n").unwrap();
    recipe
}

/// The problems whose rollouts a step's file shows.
fn asked(out: &Path, step: u64) -> BTreeSet<String> {
    let text = std::fs::read_to_string(out.join(format!("rollouts/step-{step:06}.jsonl"))).unwrap();
    let id = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["question_id"].as_str().unwrap().to_owned()
    };
    text.lines().map(id).collect()
}

/// 27 problems: 8 a step in five steps, then 4 in two.
#[test]
fn a_file_is_walked_through_epoch_by_epoch_and_stage_by_stage() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::start(file_recipe(dir.path()), dir.path(), Progress::quiet()).unwrap();
    run.rl(&Local::new(digits), dir.path(), false).unwrap();
    let steps: Vec<BTreeSet<String>> = (1..=7).map(|step| asked(dir.path(), step)).collect();
    assert_eq!(steps.iter().map(BTreeSet::len).collect::<Vec<_>>(), [8, 8, 8, 8, 8, 4, 4]);
    let distinct = |steps: &[BTreeSet<String>]| steps.iter().flatten().collect::<BTreeSet<_>>().len();
    assert_eq!((distinct(&steps[..3]), distinct(&steps[..4])), (24, 27));
    // The first five of the second epoch end step 4; what follows are its other 22, of which 16 come.
    assert_eq!(distinct(&steps[4..]), 16);
}

/// Every completion is right, so the first stage asks each of the 27 once and is over; the second begins anew.
#[test]
fn what_is_solved_comes_no_more_and_with_the_last_the_stage_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = file_recipe(dir.path());
    (recipe.rl[0].steps, recipe.rl[0].drop_solved) = (9, true);
    let run = |out: &Path, grader: &Local, resume| {
        Run::start(recipe.clone(), out, Progress::quiet()).unwrap().rl(grader, out, resume)
    };
    let (whole, cut) = (dir.path().join("whole"), dir.path().join("cut"));
    run(&whole, &Local::new(|_| 1.0), false).unwrap();
    // The checkpoint is of step 2, and what it does not say is solved would be asked again.
    run(&cut, &Local { breaks_at: Some(4), ..Local::new(|_| 1.0) }, false).unwrap_err();
    run(&cut, &Local::new(|_| 1.0), true).unwrap();
    for out in [&whole, &cut] {
        let stages: Vec<String> = lines(out).into_iter().map(|line| line.stage).collect();
        assert_eq!(stages, ["first", "first", "first", "first", "second", "second"]);
        let solved: Vec<u64> = lines(out).into_iter().map(|line| line.solved_problems).collect();
        assert_eq!(solved, [8, 16, 24, 27, 0, 0]);
        let asked: Vec<BTreeSet<String>> = (1..=6).map(|step| asked(out, step)).collect();
        assert_eq!(asked.iter().map(BTreeSet::len).collect::<Vec<_>>(), [8, 8, 8, 3, 4, 4]);
        assert_eq!(asked[..4].iter().flatten().collect::<BTreeSet<_>>().len(), 27);
    }
}

#[test]
fn a_run_that_was_cut_goes_on_bit_for_bit() {
    let files = tempfile::tempdir().unwrap();
    for recipe in [recipe(5), general_recipe(), file_recipe(files.path())] {
        let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let run = |out: &Path, grader: &Local, resume| {
            Run::start(recipe.clone(), out, Progress::quiet()).unwrap().rl(grader, out, resume)
        };
        run(whole.path(), &Local::new(digits), false).unwrap();
        // Cut in step 4: the checkpoint is of step 2, metrics.jsonl already has step 3.
        run(cut.path(), &Local { breaks_at: Some(4), ..Local::new(digits) }, false).unwrap_err();
        assert_eq!(lines(cut.path()).len(), 3);
        run(cut.path(), &Local::new(digits), true).unwrap();
        let without_timings = |out: &Path| -> Vec<StepMetrics> {
            lines(out).into_iter().map(StepMetrics::without_timings).collect()
        };
        assert_eq!(without_timings(whole.path()), without_timings(cut.path()));
        let weights = |out: &Path| std::fs::read(out.join(CHECKPOINT).join("model.safetensors")).unwrap();
        assert!(weights(whole.path()) == weights(cut.path()), "the weights differ");
        let event_files = |out: &Path| std::fs::read_dir(out.join(tensorboard::DIRECTORY)).unwrap().count();
        assert_eq!((event_files(whole.path()), event_files(cut.path())), (1, 2));
    }
}

/// Of the general form the metrics are no zeros: the policy leaves its reference, and a narrow clip holds.
#[test]
fn the_general_form_learns_and_says_what_it_did() {
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = general_recipe();
    recipe.rl[0].steps = 40;
    let run = Run::start(recipe, dir.path(), Progress::quiet()).unwrap();
    run.rl(&Local::new(digits), dir.path(), false).unwrap();
    let lines = lines(dir.path());
    let mean = |lines: &[StepMetrics], of: fn(&StepMetrics) -> f64| {
        lines.iter().map(of).sum::<f64>() / lines.len() as f64
    };
    let reward = |lines: &[StepMetrics]| mean(lines, |line| line.reward_mean);
    let (first, last) = (reward(&lines[..5]), reward(&lines[35..40]));
    assert!(first < 0.2 && last > first + 0.2, "reward went from {first} to {last}");
    let kl = |line: &StepMetrics| line.kl;
    assert!(mean(&lines[35..40], kl) > mean(&lines[..2], kl) && lines.iter().all(|line| line.kl >= 0.0));
    assert!(lines.iter().all(|line| line.loss.is_finite() && line.mismatch_max < 1e-3));
}

/// One rollout in some starts with a digit, so many groups are all wrong; refilled, each step still learns from eight.
#[test]
fn groups_without_a_signal_are_replaced() {
    let first = |completion: &str| f64::from(u8::from(completion.starts_with(|c: char| c.is_ascii_digit())));
    let steps = |rule: &str| {
        let dir = tempfile::tempdir().unwrap();
        let mut recipe = recipe(4);
        recipe.rl[0].loss = toml::from_str(&format!("zero_variance = '{rule}'\nmax_batches = 5\n")).unwrap();
        let run = Run::start(recipe, dir.path(), Progress::quiet()).unwrap();
        run.rl(&Local::new(first), dir.path(), false).unwrap();
        lines(dir.path())[..4].to_vec()
    };
    assert!(steps("drop").iter().all(|line| line.sampled_prompts == 8));
    let refilled = steps("refill");
    assert!(refilled.iter().any(|line| line.sampled_prompts > 8), "{refilled:?}");
    for line in &refilled {
        let useful = line.sampled_prompts as f64 * (1.0 - line.zero_std_fraction);
        assert!(line.sampled_prompts <= 40 && (useful > 7.99 || line.sampled_prompts == 40), "{line:?}");
    }
    assert_eq!(
        refilled.iter().map(|line| line.sampled_prompts).collect::<Vec<_>>(),
        steps("refill").iter().map(|line| line.sampled_prompts).collect::<Vec<_>>()
    );
}

/// A step without a signal is named in its line.
#[test]
fn a_run_that_teaches_nothing_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::start(recipe(2), dir.path(), Progress::quiet()).unwrap();
    run.rl(&Local::new(|_| 0.0), dir.path(), false).unwrap();
    for line in lines(dir.path()) {
        assert_eq!(line.diagnosis.first(), Some(&Finding::AllWrong), "{line:?}");
        assert_eq!((line.grad_norm, line.loss), (0.0, 0.0));
    }
}

/// A verifier that answers nothing must not turn into zero rewards: the run stops, nothing was learned.
#[test]
fn without_rewards_nothing_is_learned() {
    struct Gone;
    impl Grade for Gone {
        fn grade(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, RewardError> {
            Ok(asks.iter().map(|_| Answer::InfraError("gone".to_owned())).collect())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let run = Run::start(recipe(5), dir.path(), Progress::quiet()).unwrap();
    let error = run.rl(&Gone, dir.path(), false).unwrap_err().to_string();
    assert!(error.contains("no rollout got a reward") && error.contains("gone"), "{error}");
    assert!(lines(dir.path()).is_empty());
}

#[test]
fn a_fresh_probe_confirms_the_calibrated_temperature() {
    let text = "seed = 5\n[model]\nhidden_size = 64\nintermediate_size = 128\nnum_hidden_layers = 2\n\
        num_attention_heads = 2\nnum_key_value_heads = 1\nmax_position_embeddings = 32\n\
        [sft]\nrows = { arithmetic = 64 }\nsteps = 250\nlearning_rate = 3e-3\nwarmup = 20\n\
        [[rl]]\nname = 'math'\nprompts = { arithmetic = 8 }\nrollouts = 8\nsteps = 1\nmax_completion_length = 8\n\
        learning_rate = 1e-4\n";
    let dir = tempfile::tempdir().unwrap();
    let recipe = Recipe::parse("test.toml", text).unwrap();
    let run = Run::start(recipe, dir.path(), Progress::quiet()).unwrap();
    let (policy, steps) = run.sft(false).unwrap();
    assert_eq!(steps, 250);
    let trainer = Trainer {
        recipe: &run.recipe,
        sources: &run.sources,
        policy,
        grader: &Local::new(digits),
        out: dir.path(),
        state: State::default(),
        progress: &run.progress,
    };
    let found = trainer.calibrate(&run.recipe.rl[0]).unwrap();
    assert!((found.entropy - 0.3).abs() <= 0.03, "{found:?}");
    // Another probe, with other prompts and other draws, agrees within the noise of a probe.
    let rollouts = trainer.probe(&run.recipe.rl[0], found.temperature, 99).unwrap();
    let entropy = trainer.policy.measure(&rollouts, found.temperature).unwrap().entropy;
    assert!((entropy - 0.3).abs() <= 0.06, "{entropy} at {found:?}");
}

/// A base to put adapters on, as a directory, hardly tuned; and the recipe of an adapter's SFT and RL on it.
fn lora_recipe(dir: &Path) -> Recipe {
    let mut base = recipe(5);
    // The head of a base is not trained, so its logits must be large enough from the start.
    base.model.initializer_range = 0.3;
    let sft = "rows = { arithmetic = 16 }\nsteps = 4\nlearning_rate = 1e-3\nwarmup = 2\n";
    base.sft = Some(toml::from_str(sft).unwrap());
    let out = dir.join("base");
    Run::start(base.clone(), &out, Progress::quiet()).unwrap().sft(false).unwrap();
    base.model.load = Some(out.join("sft"));
    base.lora = Some(toml::from_str("rank = 4\nalpha = 16\n").unwrap());
    base.rl.iter_mut().for_each(|stage| stage.learning_rate = 1e-2);
    base.eval =
        toml::from_str("problems = { arithmetic = 8 }\nevery = 20\nmax_completion_length = 6\n").unwrap();
    base
}

/// A recipe that begins with the adapter of a run, as if it were someone's.
fn going_on(recipe: &Recipe, out: &Path) -> Recipe {
    let lora = LoraSettings { load: Some(out.join(CHECKPOINT)), ..LoraSettings::default() };
    Recipe { lora: Some(lora), sft: None, ..recipe.clone() }
}

/// What the newest policy of a run answers.
fn samples(recipe: &Recipe, out: &Path) -> Vec<String> {
    let run = Run::start(recipe.clone(), out, Progress::quiet()).unwrap();
    let sampling = Sampling { max_completion_length: 8, temperature: 1.0, ..Sampling::default() };
    let rollouts = run.latest_policy().unwrap().0.sample(&run.held_out(), 2, &sampling).unwrap();
    rollouts.into_iter().map(|rollout| rollout.completion).collect()
}

#[test]
fn an_adapter_learns_goes_on_after_a_cut_and_leaves_its_base_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut plain = lora_recipe(dir.path());
    plain.rl[0].steps = 40;
    let mut general = Recipe { rl: general_recipe().rl, adamw: general_recipe().adamw, ..plain.clone() };
    general.rl.iter_mut().for_each(|stage| stage.learning_rate = 1e-2);
    let base = dir.path().join("base/sft/model.safetensors");
    let before = std::fs::read(&base).unwrap();
    for (name, recipe) in [("plain", plain), ("general", general)] {
        let (whole, cut) = (dir.path().join(name), dir.path().join(format!("{name}-cut")));
        let run = |out: &Path, grader: &Local, resume| -> Result<(), TrainError> {
            let run = Run::start(recipe.clone(), out, Progress::quiet())?;
            run.sft_before_rl(resume)?;
            run.rl(grader, out, resume).map(drop)
        };
        run(&whole, &Local::new(digits), false).unwrap();
        run(&cut, &Local { breaks_at: Some(4), ..Local::new(digits) }, false).unwrap_err();
        run(&cut, &Local::new(digits), true).unwrap();
        let without_timings = |out: &Path| -> Vec<StepMetrics> {
            lines(out).into_iter().map(StepMetrics::without_timings).collect()
        };
        assert_eq!(without_timings(&whole), without_timings(&cut));
        let files = |out: &Path, part: &str| -> Vec<(String, Vec<u8>)> {
            let file = |entry: std::io::Result<std::fs::DirEntry>| {
                let entry = entry.unwrap();
                (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
            };
            let mut files: Vec<_> = std::fs::read_dir(out.join(part)).unwrap().map(file).collect();
            files.sort();
            files
        };
        let of_run = files(&whole, CHECKPOINT);
        assert!(of_run == files(&cut, CHECKPOINT), "{name}: the checkpoints differ");
        // An adapter, what it needs to be read, and what resuming needs: no weights of the base.
        let names: Vec<&str> = of_run.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "adapter_config.json",
            "adapter_model.safetensors",
            "config.json",
            "optimizer.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "trainer.json",
        ];
        assert_eq!(names, expected);
        assert!(of_run[1] != files(&whole, "sft")[1], "RL moves the adapter of the SFT");
        let best = files(&whole, "rl.best");
        assert!(best == files(&cut, "rl.best") && best.len() == names.len(), "{name}: the best differ");
        assert_eq!(samples(&recipe, &whole), samples(&going_on(&recipe, &whole), &dir.path().join("none")));
        let gap = lines(&whole).iter().map(|line| line.logprob_gap).fold(0.0, f64::max);
        assert!(gap < 1e-4, "sampler and trainer are {gap} apart");
        if name == "plain" {
            let mean = |lines: &[StepMetrics]| {
                lines.iter().map(|line| line.reward_mean).sum::<f64>() / lines.len() as f64
            };
            let lines = lines(&whole);
            let (first, last) = (mean(&lines[..5]), mean(&lines[35..40]));
            assert!(first < 0.2 && last > 0.6, "reward went from {first} to {last}");
        } else {
            assert!(lines(&whole).iter().any(|line| line.kl > 0.0), "the reference is the policy itself");
        }
    }
    assert!(std::fs::read(&base).unwrap() == before, "the base was written");
}

/// The first stage stops where its rule says, whether it is cut on the way or not, and the next has a temperature of its own.
#[test]
fn a_stage_ends_by_its_rule_also_when_it_is_resumed() {
    let with_rule = |steps| {
        let mut recipe = recipe(steps);
        recipe.rl[0].until.reward = Some(0.3);
        recipe
    };
    let run = |out: &Path, score: &Local, resume| {
        Run::start(with_rule(40), out, Progress::quiet()).unwrap().rl(score, out, resume).map(drop)
    };
    let dir = tempfile::tempdir().unwrap();
    let (whole, cut) = (dir.path().join("whole"), dir.path().join("cut"));
    run(&whole, &Local::new(digits), false).unwrap();
    let timeless = |out: &Path| -> Vec<StepMetrics> {
        lines(out).into_iter().map(StepMetrics::without_timings).collect()
    };
    let first: Vec<StepMetrics> = timeless(&whole).into_iter().filter(|line| line.stage == "first").collect();
    assert!((10..40).contains(&first.len()), "{} steps", first.len());
    let mean = |steps: &[StepMetrics]| steps.iter().map(|line| line.reward_mean).sum::<f64>() / 10.0;
    assert!(mean(&first[first.len() - 10..]) >= 0.3);
    assert!(mean(&first[first.len().saturating_sub(11)..first.len() - 1]) < 0.3 || first.len() == 10);
    // Cut in the step after an odd one: the last is repeated.
    let breaks = Local { breaks_at: Some(first.len() as u32), ..Local::new(digits) };
    run(&cut, &breaks, false).unwrap_err();
    run(&cut, &Local::new(digits), true).unwrap();
    assert_eq!(timeless(&cut), timeless(&whole));
}
