//! Program + input + limits -> outcome.
//!
//! Untrusted code runs behind kernel walls (Python, C++) or in WebAssembly; this crate knows programs,
//! limits and facts, never problems or verdicts. `DESIGN.md` beside it holds the threat model and the walls.
//!
//! The start of every `main` that uses it, and a run:
//!
//! ```no_run
//! use assay_sandbox::{Language, Limits, Prepared, Program, Sandbox, SandboxConfig, Termination};
//!
//! assay_sandbox::init(); // this executable is started again as spawner and slot-init
//! let sandbox = Sandbox::start(&SandboxConfig::default())?;
//! let program = Program::new(Language::Python3, "print(int(input()) + 1)");
//! let Prepared::Ready(executable) = sandbox.prepare(&program, &Limits::COMPILE)? else { return Ok(()) };
//! let outcome = sandbox.run(&executable, b"41\n", &Limits::DEFAULT)?;
//! assert_eq!((outcome.termination, outcome.stdout.as_slice()), (Termination::Exited(0), &b"42\n"[..]));
//! # Ok::<(), assay_sandbox::SandboxError>(())
//! ```
//!
//! A [`Session`] keeps one process for many inputs, given one by one as frames:
//!
//! ```no_run
//! # use assay_sandbox::{Exchange, Executable, Limits, Sandbox};
//! # fn example(sandbox: &Sandbox, executable: &Executable) -> Result<(), assay_sandbox::SandboxError> {
//! let mut session = sandbox.open(executable, &Limits::DEFAULT)?;
//! for input in [&b"first"[..], b"second"] {
//!     match session.exchange(input)? {
//!         Exchange::Value { bytes, usage } => println!("{} bytes in {:?}", bytes.len(), usage.cpu_time),
//!         Exchange::Malformed => break,
//!         Exchange::Ended(why) => { println!("ended: {why:?}"); break }
//!     }
//! }
//! let outcome = session.close()?;
//! # Ok(()) }
//! ```
//!
//! A checker is given files, and its exit code means what the caller agreed with it (here testlib's: 0 is right):
//!
//! ```no_run
//! # use assay_sandbox::{Executable, InputFile, Judge, Limits, Sandbox, Termination};
//! # fn example(sandbox: &Sandbox, checker: &Executable) -> Result<(), assay_sandbox::SandboxError> {
//! let files = [
//!     InputFile { name: "input", bytes: b"2\n" },
//!     InputFile { name: "output", bytes: b"1 1\n" },
//!     InputFile { name: "answer", bytes: b"0 2\n" },
//! ];
//! let args = ["input", "output", "answer"];
//! let judge = Judge { executable: checker, args: &args, files: &files, limits: &Limits::DEFAULT };
//! let outcome = sandbox.check(&judge, b"")?;
//! let right = outcome.termination == Termination::Exited(0);
//! println!("{right}: {}", String::from_utf8_lossy(&outcome.stderr));
//! # Ok(()) }
//! ```
//!
//! An interactor talks to the solution, and has files as well; the solution sees none of them:
//!
//! ```no_run
//! # use assay_sandbox::{Executable, InputFile, Judge, Limits, Sandbox, SandboxError};
//! # fn example(sandbox: &Sandbox, solution: &Executable, interactor: &Executable) -> Result<(), SandboxError> {
//! let files = [InputFile { name: "secret", bytes: b"777\n" }];
//! let judge = Judge { executable: interactor, args: &["secret"], files: &files, limits: &Limits::DEFAULT };
//! let keep = 64 << 10; // bytes of what they say
//! let talk = sandbox.interact(solution, &Limits::DEFAULT, &judge, keep)?;
//! println!("{:?} and {:?}, {:?} first", talk.solution.termination, talk.judge.termination, talk.first);
//! for message in &talk.transcript.messages {
//!     println!("{:?}: {}", message.from, String::from_utf8_lossy(&message.bytes));
//! }
//! # Ok(()) }
//! ```

mod archive;
mod client;
mod doctor;
mod error;
pub mod guardian;
mod host;
mod image;
mod judge;
mod language;
mod launcher;
mod limits;
mod outcome;
mod procfs;
mod program;
mod protocol;
mod shelves;
mod slot;
mod spawner;
mod sys;
mod tier;
mod toolchain;
mod walls;
mod wasi;
mod wasm;
mod workplace;
mod zygote;

pub use client::{
    Exchange, Executable, Interaction, Message, Prepared, Sandbox, SandboxConfig, Session, Side, Transcript,
};
pub use doctor::{Doctor, LanguageState, Wall, WallState};
pub use error::SandboxError;
pub use judge::{InputFile, Judge};
pub use language::Language;
pub use limits::Limits;
pub use outcome::{Outcome, Termination, Usage};
pub use program::Program;
#[cfg(feature = "removable-walls")]
pub use tier::Step;
pub use tier::{Lack, Tier};
pub use workplace::{Fetched, Workplace};

/// Plays the part of a spawner, a slot-init or the WebAssembly compiler and never returns, if this process was started as one;
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
    if name == wasm::compiler::NAME {
        std::process::exit(wasm::compiler::main());
    }
}
