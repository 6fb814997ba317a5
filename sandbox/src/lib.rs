//! Program + input + limits -> outcome.
//!
//! Untrusted code runs behind kernel walls (Python, C++) or in WebAssembly; this crate knows programs,
//! limits and facts, never problems or verdicts. `DESIGN.md` beside it holds the threat model and the walls.
//!
//! The start of every `main` that uses it:
//!
//! ```no_run
//! assay_sandbox::init(); // this executable is started again as spawner and slot-init
//! let sandbox = assay_sandbox::Sandbox::start(&assay_sandbox::SandboxConfig::default())?;
//! # Ok::<(), assay_sandbox::SandboxError>(())
//! ```

mod client;
mod doctor;
mod error;
pub mod guardian;
mod image;
mod judge;
mod language;
mod limits;
mod outcome;
mod program;
mod protocol;
mod slot;
mod spawner;
mod sys;
mod tier;
mod toolchain;
mod walls;
mod wasi;
mod wasm;
mod zygote;

pub use client::{Exchange, Executable, Prepared, Sandbox, SandboxConfig, Session};
pub use doctor::{Doctor, LanguageState, Wall, WallState};
pub use error::SandboxError;
pub use judge::{InputFile, Judge};
pub use language::Language;
pub use limits::Limits;
pub use outcome::{Outcome, Termination, Usage};
pub use program::Program;
pub use tier::{Lack, Tier};

/// Plays the spawner's or a slot-init's part and never returns, if this process was started as one;
/// otherwise returns at once. The first statement of every `main` that may be re-executed.
#[expect(clippy::exit, reason = "these processes have no caller to return to")]
pub fn init() {
    let Some(name) = std::env::args_os().next() else { return };
    if name == spawner::NAME {
        std::process::exit(spawner::main());
    }
    if name == slot::NAME {
        std::process::exit(slot::main());
    }
}
