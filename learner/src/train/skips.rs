//! Steps whose update was skipped, of reinforcement learning and of SFT alike. One is a batch out of all bounds, and the
//! next batch is another; some on end are a policy that no batch mends.

use std::path::Path;

use super::TrainError;
use crate::policy::{present, step_of};

/// Steps on end after which training stops.
const MOST: u32 = 3;

/// Counts steps on end in which an update was skipped.
#[derive(Debug, Default)]
pub(crate) struct Skips {
    on_end: u32,
}

impl Skips {
    /// A step of which so many updates were skipped.
    pub(crate) fn step(&mut self, updates: u64) {
        self.on_end = if updates > 0 { self.on_end + 1 } else { 0 };
    }

    /// Whether a policy is to be saved now and then: not behind a skipped step. It may be the update before it that
    /// spoiled the policy, and the checkpoint before that is the better one.
    pub(crate) fn may_save(&self) -> bool {
        self.on_end == 0
    }

    /// Refuses to go on behind `step` where there were too many; nothing is saved, so `checkpoint` stays.
    pub(crate) fn check(&self, step: u64, checkpoint: &Path) -> Result<(), TrainError> {
        if self.on_end < MOST {
            return Ok(());
        }
        let kept = match step_of(checkpoint).filter(|_| present(checkpoint)) {
            Some(step) => format!("{} holds the policy after step {step}", checkpoint.display()),
            None => format!("no checkpoint was written to {} before", checkpoint.display()),
        };
        Err(TrainError::NotFinite { steps: self.on_end, step, kept })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::ops::Range;

    use super::*;
    use crate::diagnosis::Finding;
    use crate::metrics::{self, StepMetrics};
    use crate::progress::Progress;
    use crate::recipe::Recipe;
    use crate::reward_client::{Answer, Ask, Grade, RewardError};
    use crate::run::Run;
    use crate::train::{CHECKPOINT, METRICS};

    /// The share of digits, in some steps times 1e60, which is a number: its derivative as an f32 is not.
    struct Wild {
        steps: Cell<u32>,
        wild: Range<u32>,
        breaks_at: u32,
    }

    impl Wild {
        /// Of a run that stands behind step `done`.
        fn new(done: u32, wild: Range<u32>) -> Wild {
            Wild { steps: Cell::new(done), wild, breaks_at: 0 }
        }
    }

    impl Grade for Wild {
        fn grade(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, RewardError> {
            self.steps.set(self.steps.get() + 1);
            if self.steps.get() == self.breaks_at {
                return Err(RewardError::Setup("broken on purpose".to_owned()));
            }
            let unit = if self.wild.contains(&self.steps.get()) { 1e60 } else { 1.0 };
            let digits = |text: &str| text.chars().filter(char::is_ascii_digit).count() as f64 / 6.0;
            let answer = |ask: &Ask<'_>| Answer::Graded {
                reward: unit * digits(ask.completion),
                verdict: String::new(),
            };
            Ok(asks.iter().map(answer).collect())
        }
    }

    /// `updates` a step, each of which keeps rewards as large as they are.
    fn recipe(updates: u32) -> Recipe {
        let text = format!(
            "seed = 3\n[model]\nhidden_size = 32\nintermediate_size = 64\nnum_hidden_layers = 2\n\
             num_attention_heads = 2\nnum_key_value_heads = 1\nmax_position_embeddings = 32\n\
             [[rl]]\nname = 'one'\nprompts = {{ arithmetic = 4 }}\nrollouts = 8\nsteps = 6\nsave_every = 2\n\
             max_completion_length = 6\nlearning_rate = 5e-3\ntemperature = {{ mode = 'fixed' }}\n\
             loss = {{ advantage = 'group_mean', updates = {updates} }}\n"
        );
        Recipe::parse("test.toml", &text).unwrap()
    }

    fn rl(updates: u32, out: &Path, grader: &Wild, resume: bool) -> Result<(), TrainError> {
        Run::start(recipe(updates), out, Progress::quiet()).unwrap().rl(grader, out, resume).map(drop)
    }

    /// What every reader of the run reads; a line with a `null` was refused.
    fn lines(out: &Path) -> Vec<StepMetrics> {
        let lines = metrics::read::<StepMetrics>(&out.join(METRICS)).unwrap();
        lines.into_iter().map(StepMetrics::without_timings).collect()
    }

    fn weights(out: &Path) -> Vec<u8> {
        std::fs::read(out.join(CHECKPOINT).join("model.safetensors")).unwrap()
    }

    /// Such a gradient went into every weight, and the checkpoint of NaN into the place of the good one.
    #[test]
    fn a_step_out_of_all_bounds_is_skipped_and_a_cut_run_repeats_it() {
        for updates in [1, 2] {
            let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            rl(updates, whole.path(), &Wild::new(0, 3..5), false).unwrap();
            let lines_of_whole = lines(whole.path());
            let skipped: Vec<u64> = lines_of_whole.iter().map(|line| line.skipped_updates).collect();
            assert_eq!(skipped, [0, 0, 1, 1, 0, 0].map(|step| step * u64::from(updates)));
            for line in &lines_of_whole {
                assert_eq!(line.grad_norm > 0.0, line.skipped_updates == 0, "{line:?}");
                assert!(line.entropy > 0.0 && line.loss.abs() < 1e3, "{line:?}");
                assert!(!line.diagnosis.contains(&Finding::AllMasked), "{line:?}");
            }
            // Behind the skipped steps: the checkpoint is still of step 2.
            let breaks = Wild { breaks_at: 5, ..Wild::new(0, 3..5) };
            rl(updates, cut.path(), &breaks, false).unwrap_err();
            assert_eq!(step_of(&cut.path().join(CHECKPOINT)), Some(2));
            rl(updates, cut.path(), &Wild::new(2, 3..5), true).unwrap();
            assert_eq!(lines(cut.path()), lines_of_whole);
            assert!(weights(cut.path()) == weights(whole.path()), "the weights differ");
        }
    }

    #[test]
    fn three_such_steps_on_end_stop_the_run_and_leave_the_last_good_checkpoint() {
        let (tame, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let said = rl(1, dir.path(), &Wild::new(0, 3..100), false).unwrap_err().to_string();
        assert!(
            said.starts_with("the loss or its gradient was not finite in 3 steps on end, the last step 5"),
            "{said}"
        );
        assert!(said.contains("rl holds the policy after step 2;") && !said.contains('\n'), "{said}");
        assert_eq!(lines(dir.path()).len(), 5);
        // It goes on from there as if nothing had happened.
        rl(1, dir.path(), &Wild::new(2, 0..0), true).unwrap();
        rl(1, tame.path(), &Wild::new(0, 0..0), false).unwrap();
        assert_eq!(lines(dir.path()), lines(tame.path()));
        assert!(weights(dir.path()) == weights(tame.path()), "the weights differ");

        let none = tempfile::tempdir().unwrap();
        let said = rl(1, none.path(), &Wild::new(0, 1..100), false).unwrap_err().to_string();
        assert!(said.contains("no checkpoint was written to"), "{said}");
    }

    #[test]
    fn steps_are_counted_on_end() {
        let mut skips = Skips::default();
        for (updates, may_save) in [(1, false), (4, false), (0, true), (1, false), (1, false)] {
            skips.step(updates);
            assert_eq!(skips.may_save(), may_save);
            skips.check(9, Path::new("none")).unwrap();
        }
        skips.step(2);
        skips.check(9, Path::new("none")).unwrap_err();
    }
}
