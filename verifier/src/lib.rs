//! How it is decided: completion -> verdict -> reward.

mod verdict;

pub use verdict::{Happened, Judgement, Verdict, verdict};
