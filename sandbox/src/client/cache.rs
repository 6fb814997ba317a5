//! What compilers made, kept by what it was made of: the same source with the same flags is compiled once, by however
//! many threads it is asked for at once. What a compiler refused is kept too, unless a limit ended it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Outcome, SandboxError, Termination, Usage};

/// What everything that decides about the result hashes to.
pub(super) type Key = [u8; 32];

/// A compiler's work, or why there is none.
pub(super) type Made = Result<Product, Outcome>;

/// A file in sealed memory, and what making it took.
#[derive(Debug, Clone)]
pub(super) struct Product {
    pub(super) file: Arc<OwnedFd>,
    pub(super) usage: Usage,
}

#[derive(Debug)]
pub(super) struct Cache {
    /// How much is kept, in bytes; 0 keeps nothing.
    most: u64,
    shelf: Mutex<Shelf>,
    finished: Condvar,
}

#[derive(Debug, Default)]
struct Shelf {
    entries: HashMap<Key, Entry>,
    bytes: u64,
    /// Counts uses; who was used longest ago goes first.
    clock: u64,
}

#[derive(Debug)]
enum Entry {
    /// Somebody is at it.
    Compiling,
    Kept {
        made: Made,
        bytes: u64,
        used: u64,
    },
}

impl Cache {
    pub(super) fn new(most: u64) -> Cache {
        Cache { most, shelf: Mutex::default(), finished: Condvar::new() }
    }

    /// What is kept under the key, or else what `compile` makes.
    pub(super) fn get(
        &self,
        key: Key,
        compile: impl FnOnce() -> Result<Made, SandboxError>,
    ) -> Result<Made, SandboxError> {
        if self.most == 0 {
            return compile();
        }
        if let Some(made) = self.find_or_begin(key) {
            return Ok(made);
        }
        let mut turn = Turn { cache: self, key, made: None };
        let made = compile()?;
        turn.made = Some(made.clone());
        Ok(made)
    }

    /// What is kept; `None` makes it the caller's turn to compile.
    fn find_or_begin(&self, key: Key) -> Option<Made> {
        let mut shelf = self.locked();
        loop {
            shelf.clock += 1;
            let now = shelf.clock;
            match shelf.entries.get_mut(&key) {
                Some(Entry::Kept { made, used, .. }) => {
                    *used = now;
                    return Some(made.clone());
                }
                Some(Entry::Compiling) => {
                    shelf = self.finished.wait(shelf).unwrap_or_else(PoisonError::into_inner);
                }
                None => {
                    shelf.entries.insert(key, Entry::Compiling);
                    return None;
                }
            }
        }
    }

    /// Ends a turn. What is not kept, the next one who asks makes anew.
    fn finish(&self, key: Key, made: Option<Made>) {
        let mut shelf = self.locked();
        shelf.entries.remove(&key);
        if let Some(made) = made.filter(repeats) {
            let bytes = size(&made);
            shelf.clock += 1;
            let used = shelf.clock;
            shelf.bytes += bytes;
            shelf.entries.insert(key, Entry::Kept { made, bytes, used });
            shelf.shrink_to(self.most);
        }
        self.finished.notify_all();
    }

    /// A panic elsewhere leaves the data whole: every change under the lock is one step.
    fn locked(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn shrink_to(&mut self, most: u64) {
        while self.bytes > most {
            let kept = self.entries.iter().filter_map(|(key, entry)| match entry {
                Entry::Kept { bytes, used, .. } => Some((*used, *key, *bytes)),
                Entry::Compiling => None,
            });
            let Some((_, key, bytes)) = kept.min() else { return };
            self.entries.remove(&key);
            self.bytes -= bytes;
        }
    }
}

/// A thread's turn to compile: however it ends, those who wait are told.
struct Turn<'a> {
    cache: &'a Cache,
    key: Key,
    made: Option<Made>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.cache.finish(self.key, self.made.take());
    }
}

/// Whether the compiler would do the same again: a limit can depend on what else the machine does.
fn repeats(made: &Made) -> bool {
    made.as_ref().map_or_else(|outcome| matches!(outcome.termination, Termination::Exited(_)), |_| true)
}

fn size(made: &Made) -> u64 {
    /// The entry itself, roughly.
    const ENTRY: u64 = 256;
    let length = |product: &Product| {
        let file = product.file.try_clone().map(std::fs::File::from);
        file.and_then(|file| file.metadata()).map_or(u64::MAX / 2, |metadata| metadata.len())
    };
    let refused = |outcome: &Outcome| (outcome.stdout.len() + outcome.stderr.len()) as u64;
    ENTRY + made.as_ref().map_or_else(refused, length)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::image;

    fn file(length: usize) -> Result<Made, SandboxError> {
        let file = Arc::new(image::sealed(&vec![1; length][..]).unwrap());
        Ok(Ok(Product { file, usage: Usage::default() }))
    }

    fn refusal(termination: Termination) -> Result<Made, SandboxError> {
        let (stdout, stderr) = (Vec::new(), vec![b'e'; 10]);
        Ok(Err(Outcome { stdout, stderr, refused: true, ..Outcome::of(termination) }))
    }

    /// Asks for each key in turn, 1000 bytes each; how often something was compiled.
    fn compiled(cache: &Cache, keys: &[u8], make: impl Fn() -> Result<Made, SandboxError>) -> usize {
        let count = AtomicUsize::new(0);
        for key in keys {
            let _ = cache.get([*key; 32], || {
                count.fetch_add(1, Ordering::Relaxed);
                make()
            });
        }
        count.into_inner()
    }

    #[test]
    fn what_fits_is_kept_and_the_longest_unused_goes() {
        for (most, keys, times) in [
            (0, &[1, 1, 1][..], 3),
            (1 << 20, &[1, 1, 2, 1, 2], 2),
            // Two fit: 3 drives out 2, since 1 was used after it.
            (2600, &[1, 2, 1, 3, 1, 2], 4),
            // One alone is too large.
            (1000, &[1, 1], 2),
        ] {
            assert_eq!(compiled(&Cache::new(most), keys, || file(1000)), times, "{most} {keys:?}");
        }
    }

    #[test]
    fn refusals_are_kept_unless_a_limit_made_them() {
        let cache = || Cache::new(1 << 20);
        assert_eq!(compiled(&cache(), &[1, 1], || refusal(Termination::Exited(1))), 1);
        assert_eq!(compiled(&cache(), &[1, 1], || refusal(Termination::CpuTimeLimit)), 2);
        assert_eq!(compiled(&cache(), &[1, 1], || Err(SandboxError::Unavailable("no".into()))), 2);
    }

    #[test]
    fn at_once_is_once() {
        let (cache, count) = (Cache::new(1 << 20), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let made = cache.get([7; 32], || {
                        count.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(std::time::Duration::from_millis(50));
                        file(1)
                    });
                    assert!(made.unwrap().is_ok());
                });
            }
        });
        assert_eq!(count.into_inner(), 1);
    }

    /// Whoever waits for a compiler that panics must not wait for ever.
    #[test]
    fn a_panic_ends_the_turn() {
        let cache = Cache::new(1 << 20);
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = cache.get([1; 32], || panic!("a bug"));
        }));
        assert!(broken.is_err());
        assert_eq!(compiled(&cache, &[1, 1], || file(1)), 1);
    }
}
