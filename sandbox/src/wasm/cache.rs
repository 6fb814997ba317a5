//! Compiled modules by the hash of their bytes, the least recently used out first. It belongs to one engine, so the
//! engine's configuration needs no place in the key.

use std::sync::Arc;

/// What the machine code and images of all kept modules may come to, in bytes, and how many there may be: each holds a
/// descriptor of its memory's image.
const MOST_BYTES: usize = 256 << 20;
const MOST: usize = 128;

/// A SHA-256 of a module's bytes.
pub(super) type Hash = [u8; 32];

/// At most so many values of so many bytes together, newest at the end.
pub(super) struct Cache<T> {
    most: usize,
    most_bytes: usize,
    entries: Vec<(Hash, Arc<T>, usize)>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache::new(MOST, MOST_BYTES)
    }
}

impl<T> Cache<T> {
    pub(super) fn new(most: usize, most_bytes: usize) -> Cache<T> {
        Cache { most, most_bytes, entries: Vec::new() }
    }

    /// Finds a value and makes it the newest.
    pub(super) fn find(&mut self, hash: &Hash) -> Option<Arc<T>> {
        let index = self.entries.iter().position(|(other, ..)| other == hash)?;
        let entry = self.entries.remove(index);
        let value = Arc::clone(&entry.1);
        self.entries.push(entry);
        Some(value)
    }

    /// Keeps a value of `size` bytes. One that is larger than the whole cache is not kept.
    pub(super) fn insert(&mut self, hash: Hash, value: Arc<T>, size: usize) {
        self.entries.retain(|(other, ..)| *other != hash);
        if size > self.most_bytes {
            return;
        }
        self.entries.push((hash, value, size));
        let bytes = |entries: &[(_, _, usize)]| entries.iter().map(|(.., size)| size).sum::<usize>();
        while self.entries.len() > self.most || bytes(&self.entries) > self.most_bytes {
            self.entries.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: what is kept or asked for, then what must be there at the end.
    #[test]
    fn the_oldest_go_first_and_the_bound_holds() {
        enum Step {
            Keep(u8, usize),
            Ask(u8),
        }
        use Step::{Ask, Keep};
        let rows: [(&str, &[Step], &[u8]); 7] = [
            ("all fit", &[Keep(1, 40), Keep(2, 60)], &[1, 2]),
            ("the oldest goes", &[Keep(1, 40), Keep(2, 60), Keep(3, 1)], &[2, 3]),
            ("asking makes new", &[Keep(1, 40), Keep(2, 60), Ask(1), Keep(3, 1)], &[1, 3]),
            ("several go", &[Keep(1, 30), Keep(2, 30), Keep(3, 30), Keep(4, 90)], &[4]),
            ("there are too many", &[Keep(1, 1), Keep(2, 1), Keep(3, 1), Keep(4, 1)], &[2, 3, 4]),
            ("too large for all", &[Keep(1, 40), Keep(2, 101)], &[1]),
            ("kept twice counts once", &[Keep(1, 60), Keep(1, 60), Keep(2, 40)], &[1, 2]),
        ];
        for (name, steps, expected) in rows {
            let mut cache = Cache::new(3, 100);
            for step in steps {
                match *step {
                    Keep(key, size) => cache.insert([key; 32], Arc::new(key), size),
                    Ask(key) => assert_eq!(cache.find(&[key; 32]).as_deref(), Some(&key), "{name}"),
                }
            }
            let there: Vec<u8> = (0..9).filter(|&key| cache.find(&[key; 32]).is_some()).collect();
            assert_eq!(there, expected, "{name}");
        }
    }
}
