use assay_learner::reward_client::{RewardClient, Rewards};
use assay_verifier::{VerifierConfig, VerifierProcess};

/// A verifier of its own, and a client of it.
pub(super) fn start(slots: usize) -> (VerifierProcess, RewardClient) {
    let program = Some(env!("CARGO_BIN_EXE_assay-train").into());
    let verifier = VerifierProcess::start(&VerifierConfig { program, slots, math_only: false }).unwrap();
    let urls = vec![verifier.base_url.clone()];
    let client = RewardClient::new(Rewards { urls, ..Default::default() }).unwrap();
    (verifier, client)
}
