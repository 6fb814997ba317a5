//! Tests of one program on slots that nobody else uses. What comes out is what one test after the other gives: results in
//! order, up to the first that ends the series. A test behind it may have been run for nothing, and is forgotten.

use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many slots are free.
#[derive(Debug)]
pub(crate) struct Spare(AtomicIsize);

/// The use of a slot, until it is dropped.
#[derive(Debug)]
pub(crate) struct Use<'a>(&'a Spare);

impl Spare {
    pub(crate) fn new(slots: usize) -> Spare {
        Spare(AtomicIsize::new(slots.try_into().unwrap_or(isize::MAX)))
    }

    /// For who has to work in any case: the sandbox makes those wait that are too many.
    pub(crate) fn enter(&self) -> Use<'_> {
        self.0.fetch_sub(1, Ordering::Relaxed);
        Use(self)
    }

    /// As many as are free, and not more than `most`.
    pub(crate) fn take(&self, most: usize) -> Vec<Use<'_>> {
        let free = |free: isize| (free > 0).then_some(free - 1);
        let one = || self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok().map(|_| Use(self));
        (0..most).map_while(|_| one()).collect()
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The results of `work(0)`, `work(1)` and so on below `count`, up to and with the first that `ends` the series, made by
/// this thread and so many `helpers`.
pub(crate) fn in_order<T: Send>(
    count: usize,
    helpers: usize,
    work: impl Fn(usize) -> T + Sync,
    ends: impl Fn(&T) -> bool + Sync,
) -> Vec<T> {
    let (next, end) = (AtomicUsize::new(0), AtomicUsize::new(count));
    let done: Mutex<Vec<Option<T>>> = Mutex::new((0..count).map(|_| None).collect());
    let run = || {
        // Whoever takes an index below the end found so far works on it: none before the true end is left out.
        while let index = next.fetch_add(1, Ordering::SeqCst)
            && index < end.load(Ordering::SeqCst)
        {
            let result = work(index);
            if ends(&result) {
                end.fetch_min(index + 1, Ordering::SeqCst);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(result);
        }
    };
    thread::scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(run);
        }
        run();
    });
    let end = end.into_inner();
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().take(end).flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The later the index the faster the work, so that later failures are found first.
    #[test]
    fn the_first_end_by_order_decides() {
        for helpers in [0, 1, 3, 20] {
            for ends in [vec![], vec![0], vec![9], vec![7, 3, 8], vec![2, 3, 4]] {
                let work = |index: usize| {
                    thread::sleep(Duration::from_micros(200 * (10 - index as u64)));
                    index
                };
                let results = in_order(10, helpers, work, |index| ends.contains(index));
                let expected = ends.iter().min().map_or(10, |end| end + 1);
                assert_eq!(results, (0..expected).collect::<Vec<_>>(), "{helpers} helpers, {ends:?}");
            }
        }
        assert!(in_order(0, 2, |index| index, |_| false).is_empty());
    }

    #[test]
    fn nobody_takes_what_is_in_use() {
        let spare = Spare::new(3);
        let (first, second) = (spare.enter(), spare.take(8));
        assert_eq!((second.len(), spare.take(1).len()), (2, 0));
        let third = spare.enter();
        drop((first, second));
        assert_eq!(spare.take(8).len(), 2);
        drop(third);
        assert_eq!(spare.take(8).len(), 3);
    }
}
