//! Program + input + limits -> outcome.

mod error;
mod limits;
mod outcome;
mod program;

pub use error::SandboxError;
pub use limits::Limits;
pub use outcome::{Outcome, Termination, Usage};
pub use program::{Language, Program};
