//! What is asked: problems, their tests and their golds.

mod problem;

pub use problem::{Checker, CodeTask, MathTask, Problem, Task, TaskLimits, TestCase, TestType};
