//! What is asked: problems, their tests and their golds.
//!
//! [`load`] reads a file of problems in any of four formats, [`load_completions`] what a model answered.
#![forbid(unsafe_code)]

mod bundled;
mod completions;
mod error;
mod fields;
mod lcb;
mod load;
mod math;
mod native;
mod packed;
mod pickle;
mod problem;
mod records;

pub use bundled::{BundledProblem, Solution, bundled};
pub use completions::{Completions, load_completions};
pub use error::{LoadError, Misfit, Place};
pub use load::{Format, MAX_RECORD, MAX_UNPACKED, Problems, file_sha256, load};
pub use problem::{Checker, CodeTask, MathTask, Problem, Task, TaskLimits, TestCase, TestType};
