//! The engine against transformers and torch, from figures of theirs that lie in `tests/parity/`: no Python here.
//! `scripts/parity.py --freeze learner/tests/parity` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "parity/compare.rs"]
mod compare;

use std::path::Path;

#[test]
fn logits_loss_gradients_adamw_and_greedy_tokens_are_those_of_transformers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity");
    for (name, tensors) in [("tied", 26), ("untied", 27)] {
        let figures = compare::compare(&root.join(name)).unwrap();
        assert!(figures.logits <= 1e-4 && figures.greatest_logit > 1.0, "{name}: {figures:?}");
        assert!(figures.loss <= 1e-5, "{name}: {figures:?}");
        assert!(figures.gradients <= 1e-4 && figures.tensors == tensors, "{name}: {figures:?}");
        assert!(figures.adamw <= 1e-6, "{name}: {figures:?}");
        assert_eq!((figures.greedy, figures.greedy_of), (64, 64), "{name}: {figures:?}");
    }
}
