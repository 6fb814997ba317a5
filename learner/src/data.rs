//! Where prompts and SFT rows come from, and the one source of randomness.
//!
//! Every draw is a function of (seed, purpose, step): no generator lives longer than a step, so a checkpoint
//! needs no generator state, and a resumed run draws what the uninterrupted one would have drawn. Files are walked
//! through, epoch by epoch, by a function of (seed, file, position).

pub(crate) mod rows;
mod sources;

use std::ops::Range;
use std::path::PathBuf;

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

pub use self::rows::{Row, family_rows, file_rows, fitting_rows, read_rows};
pub use self::sources::{Drawn, Hand, Prompts, Solved, Source, Sources};
use crate::error::reason;

/// The generator of one purpose at one step.
pub fn stream(seed: u64, purpose: &str, step: u64) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(step.to_le_bytes());
    hash.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// What stands at these positions of an endless walk through `items` things: each epoch all of them, in a new order.
pub(crate) fn walk(items: usize, positions: Range<u64>, seed: u64, purpose: &str) -> Vec<usize> {
    let mut epoch = (u64::MAX, Vec::new());
    let at = |position: u64| {
        let now = position / items as u64;
        if epoch.0 != now {
            epoch = (now, order(items, now, seed, purpose));
        }
        epoch.1[(position % items as u64) as usize]
    };
    positions.map(at).collect()
}

/// The order of an epoch. What came in the last third of the one before does not come in the first third, so that a batch
/// on both sides of the bound between them has nothing twice.
fn order(items: usize, epoch: u64, seed: u64, purpose: &str) -> Vec<usize> {
    let shuffled = |epoch| {
        let mut order: Vec<usize> = (0..items).collect();
        order.shuffle(&mut stream(seed, purpose, epoch));
        order
    };
    let mut order = shuffled(epoch);
    let Some(before) = epoch.checked_sub(1) else { return order };
    let third = items / 3;
    // Exchanges leave the last third alone, so that of the epoch before is known from its shuffle.
    let mut late = vec![false; items];
    shuffled(before)[items - third..].iter().for_each(|&item| late[item] = true);
    let mut middle = third..items - third;
    for at in 0..third {
        if late[order[at]]
            && let Some(other) = middle.find(|&other| !late[order[other]])
        {
            order.swap(at, other);
        }
    }
    order
}

/// What is wrong with the data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A line of a data file lacks what is needed.
    #[error("{path} line {line}: {what}", path = path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What was expected, what came.
        what: String,
    },
    /// A file can't be written.
    #[error("cannot write {path}: {reason}", path = path.display(), reason = reason(source))]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that cannot be trained on as it is; the message says where, why, and what to do.
    #[error("{0}")]
    Refused(String),
    /// A file without a single problem or row.
    #[error("{path} is empty: nothing to train on", path = path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::Rng as _;

    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_purpose_step_and_seed() {
        let draw = |seed, purpose, step| stream(seed, purpose, step).random::<u64>();
        assert_eq!(draw(1, "prompts", 4), draw(1, "prompts", 4));
        let others = [draw(1, "prompts", 5), draw(1, "rollouts", 4), draw(2, "prompts", 4)];
        assert!(!others.contains(&draw(1, "prompts", 4)));
    }

    /// However a walk is cut into steps, each epoch has everything once, and a step of up to a third has nothing twice.
    #[test]
    fn a_walk_has_everything_once_an_epoch_and_nothing_twice_in_a_step() {
        for (items, step) in [(1, 1), (2, 1), (9, 3), (10, 3), (97, 32)] {
            let epochs = 40;
            let whole = walk(items, 0..epochs * items as u64, 5, "test");
            for epoch in whole.chunks(items) {
                let mut sorted = epoch.to_vec();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..items).collect::<Vec<_>>());
            }
            for (at, batch) in whole.chunks(step).enumerate() {
                let distinct: HashSet<usize> = batch.iter().copied().collect();
                assert_eq!(distinct.len(), batch.len(), "{items} items, steps of {step}: {batch:?}");
                let from = (at * step) as u64;
                assert_eq!(walk(items, from..from + batch.len() as u64, 5, "test"), batch);
            }
            if items > 9 {
                assert_ne!(whole[..items], whole[items..2 * items], "each epoch has its own order");
                assert_ne!(whole[..items], walk(items, 0..items as u64, 6, "test"));
            }
        }
    }
}
