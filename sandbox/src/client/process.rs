//! A guest's first process as it looks from outside: clocks, memory, and how long it and those below it waited for a core.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::overdue::State;
use crate::procfs::{Stat, number_of_pidfd};
use crate::sys;

/// How many generations of processes are asked how long they waited for a core.
const DEEPEST: usize = 4;

/// The guest's first process.
#[derive(Debug)]
pub(super) struct Process {
    pidfd: OwnedFd,
    /// Its number in this process's pid namespace, for /proc, once somebody asked; 0 when it was gone by then.
    number: OnceCell<i32>,
}

impl Process {
    pub(super) fn new(pidfd: OwnedFd) -> Process {
        Process { pidfd, number: OnceCell::new() }
    }

    fn number(&self) -> i32 {
        *self.number.get_or_init(|| {
            let path = format!("/proc/self/fdinfo/{}", self.pidfd.as_raw_fd());
            number_of_pidfd(&fs::read_to_string(path).unwrap_or_default()).unwrap_or(0)
        })
    }

    fn stat(&self) -> String {
        fs::read_to_string(format!("/proc/{}/stat", self.number())).unwrap_or_default()
    }

    /// Whether it has ended, with all its threads.
    pub(super) fn has_ended(&self) -> bool {
        sys::has_ended(self.pidfd.as_fd())
    }

    /// Whether it is on its way out, or gone already: then what it held open is closed before we are told.
    pub(super) fn is_exiting(&self) -> bool {
        Stat::of(&self.stat()).is_exiting().unwrap_or(true)
    }

    pub(super) fn cpu_nanos(&self) -> Option<u64> {
        // Number 0 would be the clock of this very process.
        let number = Some(self.number()).filter(|number| *number > 0)?;
        sys::process_cpu_nanos(number).ok()
    }

    /// Resident memory in bytes, and how many threads it has; 0 when it is gone.
    pub(super) fn memory_and_threads(&self) -> (u64, u64) {
        let text = self.stat();
        let stat = Stat::of(&text);
        (stat.resident(), stat.threads())
    }

    /// The longest time that a thread of it or of one below it waited for a core.
    pub(super) fn longest_delay(&self) -> Duration {
        let nanos = greatest(self.number(), DEEPEST, |task| {
            read(task, "schedstat").split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(nanos.unwrap_or(0))
    }

    /// What it and those below it do.
    pub(super) fn state(&self) -> State {
        let state = greatest(self.number(), DEEPEST, |task| match Stat::of(&read(task, "stat")) {
            stat if stat.is_runnable() => State::WantsACore,
            stat if stat.is_held_up() => State::HeldUp,
            _ => State::Asleep,
        });
        state.unwrap_or(State::Asleep)
    }

    /// Notes for each process below it how long that ran or waited for a core, in nanoseconds.
    pub(super) fn note_below(&self, seen: &mut BTreeMap<i32, u64>) {
        note_below(self.number(), DEEPEST, seen);
    }
}

/// A file in the directory of a thread; empty where that is gone.
fn read(task: &Path, name: &str) -> String {
    fs::read_to_string(task.join(name)).unwrap_or_default()
}

/// The greatest of what `of` finds in the directories of a process's threads and of those below it; none where it is gone.
fn greatest<T: Ord>(pid: i32, depth: usize, of: fn(&Path) -> T) -> Option<T> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_task = |task: fs::DirEntry| {
        let task = task.path();
        let children = if depth == 0 { String::new() } else { read(&task, "children") };
        let below = children.split_whitespace().filter_map(|child| child.parse().ok());
        below.filter_map(|child| greatest(child, depth - 1, of)).fold(of(&task), T::max)
    };
    tasks.map(of_task).max()
}

fn note_below(pid: i32, depth: usize, seen: &mut BTreeMap<i32, u64>) {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        let schedstat = fs::read_to_string(format!("/proc/{child}/schedstat")).unwrap_or_default();
        let ran_and_waited: u64 =
            schedstat.split_whitespace().take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
        let entry = seen.entry(child).or_default();
        *entry = ran_and_waited.max(*entry);
        if depth > 0 {
            note_below(child, depth - 1, seen);
        }
    }
}
