//! 30 steps are 12 steps, a kill -9 at a random moment and what is left: the same weights, optimizer and metrics, bit for
//! bit, timings aside. The program itself, with a verifier of its own.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use assay_learner::metrics::{self, HeldOutAccuracy, StepMetrics};

const STEPS: usize = 30;
/// So many lines are in `metrics.jsonl` before the first kill.
const BEFORE: usize = 12;
/// A step takes a few hundredths of a second; the kill falls anywhere in this, saves included.
const WITHIN: Duration = Duration::from_millis(400);

/// Two stages, the temperature servoed, a reference, a look at held-out problems now and then: all the state there is.
const RECIPE: &str = "seed = 5\n[model]\nhidden_size = 32\nintermediate_size = 64\nnum_hidden_layers = 2\n\
    num_attention_heads = 2\nnum_key_value_heads = 1\nmax_position_embeddings = 32\n\
    [checkpoints]\nkeep = 3\n[eval]\nproblems = { arithmetic = 16 }\nevery = 7\nmax_completion_length = 6\n\
    [[rl]]\nname = 'first'\nprompts = { arithmetic = 8 }\nrollouts = 4\nsteps = 17\nmax_completion_length = 6\n\
    learning_rate = 5e-3\nsave_every = 2\ntemperature = { mode = 'servo', tolerance = 9.0, probe = 8 }\n\
    loss = { kl = { coefficient = 0.05 }, updates = 2 }\n\
    [[rl]]\nname = 'second'\nprompts = { arithmetic = 4 }\nrollouts = 4\nsteps = 13\nmax_completion_length = 6\n\
    learning_rate = 5e-3\nsave_every = 3\ntemperature = { mode = 'fixed' }\n";

fn rl(recipe: &Path, out: &Path, resume: bool) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay-train"));
    command.arg("rl").arg("--config").arg(recipe).arg("--out").arg(out).stdout(Stdio::null());
    if resume {
        command.arg("--resume");
    }
    command.stderr(Stdio::null()).spawn().unwrap()
}

fn steps(out: &Path) -> Vec<StepMetrics> {
    metrics::read(&out.join("metrics.jsonl")).unwrap_or_default()
}

/// Kills the run `wait` after there are `lines` lines, by SIGKILL; false where it was done before that.
fn kill(mut run: Child, out: &Path, lines: usize, wait: Duration) -> bool {
    let patience = Instant::now() + Duration::from_secs(120);
    while steps(out).len() < lines {
        assert!(
            Instant::now() < patience && run.try_wait().unwrap().is_none(),
            "the run ended or stands still"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(wait);
    let killed = run.try_wait().unwrap().is_none();
    run.kill().unwrap();
    run.wait().unwrap();
    killed
}

#[test]
fn thirty_steps_are_twelve_a_kill_at_a_random_moment_and_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("r.toml"), RECIPE).unwrap();
    let (recipe, whole, cut) = (path("r.toml"), path("whole"), path("cut"));
    assert!(rl(&recipe, &whole, false).wait().unwrap().success());

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
    let moments = [now, now.rotate_left(7)].map(|n| WITHIN.mul_f64(f64::from(n % 1000) / 1000.0));
    let first = kill(rl(&recipe, &cut, false), &cut, BEFORE, moments[0]);
    let after = steps(&cut).len();
    // Once more, as soon as it got further.
    let second = first && kill(rl(&recipe, &cut, true), &cut, (after + 1).min(STEPS), moments[1]);
    assert!(rl(&recipe, &cut, true).wait().unwrap().success());
    let story = format!("killed {moments:?} after step {BEFORE} ({first}) and {after} ({second})");

    let without_timings = |out: &Path| -> Vec<StepMetrics> {
        steps(out).into_iter().map(StepMetrics::without_timings).collect()
    };
    assert_eq!(without_timings(&whole), without_timings(&cut), "{story}");
    assert_eq!(steps(&whole).len(), STEPS);
    let looks = |out: &Path| metrics::read::<HeldOutAccuracy>(&out.join("held-out.jsonl")).unwrap();
    assert_eq!(looks(&whole), looks(&cut), "{story}");
    assert_eq!(looks(&whole).iter().map(|look| look.step).collect::<Vec<_>>(), [0, 7, 14, 21, 28, 30]);
    for checkpoint in ["rl", "rl.step-29", "rl.step-26", "rl.best"] {
        for file in ["model.safetensors", "optimizer.safetensors", "trainer.json"] {
            let read = |out: &Path| std::fs::read(out.join(checkpoint).join(file)).unwrap();
            assert!(read(&whole) == read(&cut), "{checkpoint}/{file} differs; {story}");
        }
    }
}
