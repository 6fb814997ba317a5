//! How it is decided: completion -> verdict -> reward.

mod code;
pub mod compare;
pub mod extract;
pub mod judge;
mod value;
mod verdict;

pub use extract::Extraction;
pub use judge::{Judge, JudgeError, JudgeOptions, Judged, LimitOverrides, Mode, Profile, Submission};
pub use verdict::{Failure, Happened, Judgement, Verdict, verdict};

/// First statement of every `main` that links this crate: a process started to play a hidden role (the sandbox
/// re-executes its own binary) plays it here and never returns; any other returns at once.
pub fn init() {}
