//! What is asked: problems, their tests and their golds.
//!
//! A [`Problem`] wants a program ([`Task::Code`]) or a final answer ([`Task::Math`]). This crate turns the
//! files people hold into problems and knows nothing of how answers are judged: it depends on no other part
//! of the house.
//!
//! - [`load`] reads a file of problems, one record at a time: LiveCodeBench's records, SandboxFusion's
//!   forms,
//!   APPS and TACO, veRL, DeepCoder, open-r1, CodeContests, HumanEval, MBPP, BigCodeBench, MultiPL-E, LeetCodeDataset,
//!   problem packages of Kattis and the ICPC, math rows under the usual names, and our own form ([`Problem::from_json`], [`Problem::to_json`]).
//! - [`load_completions`] reads what a model answered, [`load_rows`] the rows of any such file as text.
//! - [`ProblemStore`] and [`CompletionStore`] hold neither: they know where each record lies and read it again.
//! - [`bundled`] is a set of our own making, inside the crate.
//!
//! Files are not trusted. Packed tests are unpacked under a cap by a reader that cannot execute them; a
//! record that is not what it should be is an error naming the file, the line, what was expected, what came
//! and what to do, and never skipped in silence. `DESIGN.md` says why, and what is not covered.
//!
//! # Our own form
//!
//! ```
//! use assay_testsets::{Problem, Task};
//!
//! let text = r#"{"question_id": "double", "prompt": "Print twice the number.", "task": {
//!     "type": "code", "test_cases": [{"input": "21\n", "output": "42\n", "test_type": "stdin"}],
//!     "checker": "tokens", "limits": {"cpu_time": 2, "memory": 268435456}}}"#;
//! let problem = Problem::from_json(text)?;
//! assert!(matches!(&problem.task, Task::Code(code) if code.test_cases.len() == 1));
//! assert_eq!(Problem::from_json(&problem.to_json())?, problem);
//! # Ok::<(), assay_testsets::Misfit>(())
//! ```
#![forbid(unsafe_code)]

mod apps;
mod bigcodebench;
mod bundled;
mod cases;
mod codecontests;
mod completions;
mod deepcoder;
mod elements;
mod error;
mod fields;
mod humaneval;
mod inline;
mod kattis;
mod lcb;
mod leetcode;
mod literal;
mod load;
mod math;
mod mbpp;
mod messages;
mod multipl_e;
mod native;
mod open_r1;
mod package;
mod packed;
#[cfg(feature = "parquet")]
mod parquet;
mod pickle;
mod problem;
mod records;
mod rows;
mod store;
mod test_cases;
mod verl;
mod yaml;
mod zip;

pub use bundled::{BundledProblem, Solution, bundled};
pub use completions::{Completions, load_completions};
pub use error::{LoadError, Misfit, Place};
pub use inline::{call_of_assertion, read_problem, unpack_text};
pub use load::{Format, Keys, MAX_RECORD, MAX_UNPACKED, Problems, file_sha256, load, load_by};
pub use messages::Message;
pub use problem::{
    Checker, CodeTask, JudgeProgram, KattisFlags, MathTask, Problem, Protocol, Scoring, Task, TaskLimits,
    TestCase, TestGroup, TestType,
};
pub use rows::{Rows, load_rows};
pub use store::{CompletionStore, ProblemStore};
pub use test_cases::TestCases;
