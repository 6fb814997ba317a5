//! What is learned: prompts -> rollouts -> rewards -> update.

pub mod checkpoint;
pub mod cli;
pub mod data;
pub mod error;
pub mod eval;
mod gemm;
pub mod grpo;
pub mod interrupt;
pub mod kernels;
pub mod metrics;
pub mod model;
mod ops;
pub mod optim;
pub mod policy;
pub mod progress;
pub mod quickstart;
pub mod recipe;
pub mod report;
pub mod reward_client;
pub mod rollout;
pub mod run;
pub mod sampler;
pub mod sft;
pub mod tasks;
pub mod temperature;
pub mod tokenizer;
pub mod train;
