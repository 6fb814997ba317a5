//! Results kept, so that the same item is judged once: a group's samples often repeat, and an item that comes twice at the
//! same time (single flight) waits for the first one's result.
//!
//! Where the first one's result is not kept, those that wait for it judge for themselves, all at once: one after the other they
//! would wait for as many time limits as they are.
//!
//! An item's key is the SHA-256 of its JSON as it came: problem, completion, limits and all. Only verdicts that a second run
//! would give again are kept: none that hangs on time or memory, none of a run that was repeated, no failure of ours. The oldest
//! go where there are too many. With a directory they are files as well (`kept`), which a restart finds, and other services with
//! the same program and interpreters: what memory does not know, the judge's thread looks for there before it judges.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::kept::{Kept, Key};
use crate::wire::{GradeResponse, OutcomeName};

/// The key of an item's JSON.
pub(crate) fn key_of(json: &[u8]) -> Key {
    Sha256::digest(json).into()
}

/// The last results; none where `most` is 0, unless there are files.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    most: usize,
    kept: Option<Kept>,
    shelf: Mutex<Shelf>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Shelf {
    known: HashMap<Key, GradeResponse>,
    order: VecDeque<Key>,
    flying: HashMap<Key, watch::Receiver<bool>>,
}

/// What is known of an item.
pub(crate) enum Look<'a> {
    /// Its result.
    Known(Box<GradeResponse>),
    /// Somebody else is at it. This becomes true when the result is not kept; look again when it closes.
    Flying(watch::Receiver<bool>),
    /// Nothing: the caller is the first.
    First(Flight<'a>),
}

/// The first one's duty. Dropped without a result, the next one is the first.
pub(crate) struct Flight<'a> {
    cache: &'a Cache,
    key: Key,
    landing: watch::Sender<bool>,
}

impl Cache {
    /// Keeps at most so many results in memory.
    pub(crate) fn new(most: usize, kept: Option<Kept>) -> Cache {
        Cache { most, kept, ..Cache::default() }
    }

    /// Whether anything is kept.
    pub(crate) fn is_on(&self) -> bool {
        self.most > 0 || self.kept.is_some()
    }

    /// Results that were known, and that were not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// What is known.
    pub(crate) fn look(&self, key: Key) -> Look<'_> {
        let mut shelf = self.locked();
        if let Some(known) = shelf.known.get(&key) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Look::Known(Box::new(GradeResponse { cached: true, ..known.clone() }));
        }
        if let Some(flying) = shelf.flying.get(&key) {
            return Look::Flying(flying.clone());
        }
        let (landing, flying) = watch::channel(false);
        shelf.flying.insert(key, flying);
        Look::First(Flight { cache: self, key, landing })
    }

    /// What a file knows. It blocks: for judge threads.
    pub(crate) fn recall(&self, key: &Key) -> Option<GradeResponse> {
        let known: GradeResponse = self.kept.as_ref()?.read(key)?;
        repeatable(&known).then_some(GradeResponse { cached: true, ..known })
    }

    /// Has a file know it, if a second run would give it again. It blocks, too.
    pub(crate) fn keep(&self, key: &Key, response: &GradeResponse) -> io::Result<()> {
        match &self.kept {
            Some(kept) if repeatable(response) => kept.write(key, response),
            _ => Ok(()),
        }
    }

    /// Every change under this lock is whole before it is given up.
    fn locked(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight<'_> {
    /// Keeps the result, if a second run would give it again.
    pub(crate) fn land(self, response: &GradeResponse) {
        let counter = if response.cached { &self.cache.hits } else { &self.cache.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        if !repeatable(response) {
            self.landing.send_replace(true);
            return;
        }
        let mut shelf = self.cache.locked();
        if shelf.known.insert(self.key, response.clone()).is_none() {
            shelf.order.push_back(self.key);
        }
        while shelf.order.len() > self.cache.most {
            let Some(oldest) = shelf.order.pop_front() else { break };
            shelf.known.remove(&oldest);
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.cache.locked().flying.remove(&self.key);
    }
}

fn repeatable(response: &GradeResponse) -> bool {
    let verdicts = ["accepted", "wrong_answer", "compile_error", "runtime_error", "no_answer"];
    response.outcome == OutcomeName::Graded
        && response.reruns == Some(0)
        && response.verdict.is_some_and(|verdict| verdicts.contains(&verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graded(verdict: &'static str) -> GradeResponse {
        let bare = GradeResponse::without_verdict(String::new(), OutcomeName::Graded, String::new());
        GradeResponse { verdict: Some(verdict), reruns: Some(0), ..bare }
    }

    #[test]
    fn what_would_come_out_again_is_kept_and_nothing_else() {
        let cache = Cache::new(10, None);
        for (verdict, kept) in [("accepted", true), ("wrong_answer", true), ("time_limit_exceeded", false)] {
            let key = key_of(verdict.as_bytes());
            let Look::First(flight) = cache.look(key) else { panic!("{verdict} is news") };
            let Look::Flying(waiting) = cache.look(key) else { panic!("{verdict} flies") };
            flight.land(&graded(verdict));
            assert_eq!(*waiting.borrow(), !kept, "{verdict}");
            assert_eq!(matches!(cache.look(key), Look::Known(known) if known.cached), kept, "{verdict}");
        }
        let infra = GradeResponse { outcome: OutcomeName::InfraError, ..graded("accepted") };
        let again = GradeResponse { reruns: Some(1), ..graded("accepted") };
        assert!(!repeatable(&infra) && !repeatable(&again));
    }

    #[test]
    fn a_file_knows_the_same_and_no_more() {
        let place = tempfile::tempdir().unwrap();
        let open = || {
            let kept = Kept::open(place.path(), &serde_json::Value::Null).unwrap();
            Cache::new(0, Some(kept))
        };
        let response =
            GradeResponse { reward: Some(0.25), proof: Some("exact".into()), ..graded("wrong_answer") };
        open().keep(&[1; 32], &response).unwrap();
        open().keep(&[2; 32], &graded("time_limit_exceeded")).unwrap();
        let known = open().recall(&[1; 32]).unwrap();
        assert_eq!(format!("{known:?}"), format!("{:?}", GradeResponse { cached: true, ..response }));
        assert!(open().recall(&[2; 32]).is_none() && open().recall(&[3; 32]).is_none());
        assert!(open().is_on());
    }

    #[test]
    fn the_oldest_go_first_and_who_gives_up_leaves_no_trace() {
        let cache = Cache::new(2, None);
        for name in ["a", "b", "c"] {
            let Look::First(flight) = cache.look(key_of(name.as_bytes())) else { panic!("{name} is news") };
            flight.land(&graded("accepted"));
        }
        assert!(matches!(cache.look(key_of(b"a")), Look::First(_)));
        assert!(matches!(cache.look(key_of(b"c")), Look::Known(_)));
        drop(cache.look(key_of(b"d")));
        assert!(matches!(cache.look(key_of(b"d")), Look::First(_)));
    }
}
