//! What is learned: prompts -> rollouts -> rewards -> update.

pub mod checkpoint;
pub mod data;
pub mod error;
mod gemm;
pub mod grpo;
pub mod metrics;
pub mod model;
mod ops;
pub mod optim;
pub mod recipe;
pub mod reward_client;
pub mod rollout;
pub mod sampler;
pub mod tasks;
pub mod temperature;
pub mod tokenizer;
