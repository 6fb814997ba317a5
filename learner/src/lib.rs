//! What is learned: prompts -> rollouts -> rewards -> update.

pub mod data;
pub mod grpo;
pub mod metrics;
pub mod recipe;
pub mod reward_client;
pub mod rollout;
pub mod tasks;
pub mod temperature;
