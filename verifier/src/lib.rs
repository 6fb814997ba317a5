//! How it is decided: completion -> verdict -> reward.

mod checker;
mod code;
pub mod compare;
pub mod elo;
mod embedded;
pub mod extract;
mod formula;
pub mod http;
pub mod judge;
pub mod kept;
pub mod math;
pub mod metrics;
mod parallel;
mod prelude;
pub mod provenance;
pub mod report;
pub mod reward;
pub mod template;
mod value;
mod verdict;
pub mod window;
pub mod wire;

pub use embedded::{VerifierConfig, VerifierProcess, spawn_verifier};
pub use extract::Extraction;
pub use judge::{Judge, JudgeError, JudgeOptions, Judged, LimitOverrides, Mode, Profile, Submission};
pub use reward::{InvalidFormula, RewardFormula, RewardPolicy, reward};
pub use verdict::{Failure, Happened, Judgement, Verdict, verdict};

/// First statement of every `main` that links this crate: a process started to play a hidden role (the sandbox
/// re-executes its own binary) plays it here and never returns; any other returns at once.
#[expect(clippy::exit, reason = "a role never returns to the caller's main")]
pub fn init() {
    assay_sandbox::init();
    if let Some(code) = embedded::play_role() {
        std::process::exit(code)
    }
}
