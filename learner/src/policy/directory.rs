//! Checkpoint directories: the newest under one name, written whole or not at all; older ones and the best beside it.
//!
//! `rl` is written as `rl.new`; then `rl` becomes `rl.old` and `rl.new` becomes `rl`; then `rl.old` goes, or is kept as
//! `rl.step-12`. Wherever this is cut there is a whole checkpoint, and [`whole`] finds it. `rl.best` shares its files with
//! the checkpoint it was made of (no file of a checkpoint is ever changed in place), or has copies of them where the file
//! system has no hard links.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{EngineError, Result};

/// What stands in a checkpoint directory beside policy and optimizer: where the run stands.
pub(super) const STATE: &str = "trainer.json";

/// Whether a checkpoint, or another trace of a run, is there.
pub(crate) fn present(path: &Path) -> bool {
    whole(path).exists()
}

/// The state in a checkpoint directory.
pub(crate) fn state<S: DeserializeOwned>(directory: &Path) -> Result<S> {
    let path = whole(directory).join(STATE);
    let text = std::fs::read_to_string(&path).map_err(EngineError::part(&path))?;
    serde_json::from_str(&text).map_err(|error| EngineError::checkpoint(&path, error.to_string()))
}

/// A checkpoint, or what was swapped out when the swap was cut in the middle.
pub(super) fn whole(directory: &Path) -> PathBuf {
    let old = beside(directory, "old");
    if !directory.exists() && old.exists() { old } else { directory.to_owned() }
}

/// Puts the checkpoint that `write` writes at `directory`; `keep` are there afterwards, older ones among them.
pub(super) fn swap_in(directory: &Path, keep: usize, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let fresh = beside(directory, "new");
    remove(&fresh)?;
    if let Err(error) = write(&fresh) {
        // On a full disk half a checkpoint is only in the way; the first error is the one to tell.
        let _ = remove(&fresh);
        return Err(error);
    }
    if directory.exists() {
        retire(directory, keep)?;
        rename(directory, &beside(directory, "old"))?;
    }
    rename(&fresh, directory)?;
    retire(directory, keep)
}

/// Sees to what was swapped out, now or when the swap before was cut, and to those kept longest.
fn retire(directory: &Path, keep: usize) -> Result<()> {
    let old = beside(directory, "old");
    let step = step_of(&old);
    match step {
        // The same step written again is no checkpoint of its own.
        Some(step) if keep > 1 && Some(step) != step_of(directory) => {
            let kept = beside(directory, &format!("{STEP}{step}"));
            remove(&kept)?;
            rename(&old, &kept)?;
        }
        _ => remove(&old)?,
    }
    let mut kept = kept(directory);
    kept.sort();
    let too_many = kept.len().saturating_sub(keep.saturating_sub(1));
    kept[..too_many].iter().try_for_each(|step| remove(&beside(directory, &format!("{STEP}{step}"))))
}

const STEP: &str = "step-";

/// The steps of the checkpoints kept beside the newest.
pub(crate) fn kept(directory: &Path) -> Vec<u64> {
    let prefix = format!("{}.{STEP}", directory.file_name().unwrap_or_default().display());
    let entries = directory.parent().and_then(|parent| std::fs::read_dir(parent).ok());
    let step = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.ok()?.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok()
    };
    entries.into_iter().flatten().filter_map(step).collect()
}

/// The step of a checkpoint, if it is one.
pub(crate) fn step_of(directory: &Path) -> Option<u64> {
    state::<Value>(directory).ok()?.get("step")?.as_u64()
}

/// Where the best of a run's checkpoints is kept, given the newest.
pub(crate) fn best(directory: &Path) -> PathBuf {
    beside(directory, "best")
}

/// Makes the checkpoint at `directory` the best.
pub(crate) fn keep_best(directory: &Path) -> Result<()> {
    let (fresh, best) = (beside(directory, "best.new"), best(directory));
    remove(&fresh)?;
    std::fs::create_dir(&fresh).map_err(EngineError::io(&fresh))?;
    for entry in std::fs::read_dir(directory).map_err(EngineError::io(directory))? {
        let from = entry.map_err(EngineError::io(directory))?.path();
        let to = fresh.join(from.file_name().unwrap_or_default());
        let linked = std::fs::hard_link(&from, &to).or_else(|_| std::fs::copy(&from, &to).map(drop));
        linked.map_err(EngineError::io(&to))?;
    }
    remove(&best)?;
    rename(&fresh, &best)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(EngineError::io(from))
}

fn beside(directory: &Path, what: &str) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{what}"));
    directory.with_file_name(name)
}

fn remove(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(EngineError::io(directory)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(directory: &Path, step: u64, keep: usize) {
        let write = |fresh: &Path| {
            std::fs::create_dir(fresh).unwrap();
            std::fs::write(fresh.join(STATE), format!("{{\"step\": {step}}}")).unwrap();
            Ok(())
        };
        swap_in(directory, keep, write).unwrap();
    }

    fn names(parent: &Path) -> Vec<String> {
        let name =
            |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = std::fs::read_dir(parent).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn so_many_are_kept_and_the_best_beside_them() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("rl");
        for step in [3, 6, 9, 10] {
            save(&directory, step, 3);
            if step == 6 {
                keep_best(&directory).unwrap();
            }
        }
        // The run's last save may be of a step that was saved already.
        save(&directory, 10, 3);
        assert_eq!(names(parent.path()), ["rl", "rl.best", "rl.step-6", "rl.step-9"]);
        assert_eq!((step_of(&directory), step_of(&best(&directory))), (Some(10), Some(6)));
        save(&directory, 12, 1);
        assert_eq!(names(parent.path()), ["rl", "rl.best"]);
        keep_best(&directory).unwrap();
        assert_eq!(step_of(&best(&directory)), Some(12));
    }

    /// Each line is what a swap leaves when it is killed at one of its moments; the newest whole one is found, and the
    /// next save tidies up.
    #[test]
    fn wherever_a_swap_is_cut_there_is_a_whole_checkpoint() {
        type Left<'a> = &'a [(&'a str, u64)];
        let rows: [(Left<'_>, u64, &[&str]); 4] = [
            (&[("rl", 2), ("rl.new", 3)], 2, &["rl", "rl.step-2"]),
            (&[("rl.old", 2), ("rl.new", 3)], 2, &["rl", "rl.step-2"]),
            (&[("rl", 3), ("rl.old", 2)], 3, &["rl", "rl.step-2", "rl.step-3"]),
            (&[("rl", 3), ("rl.step-2", 2)], 3, &["rl", "rl.step-2", "rl.step-3"]),
        ];
        for (left, newest, after) in rows {
            let parent = tempfile::tempdir().unwrap();
            let directory = parent.path().join("rl");
            for (name, step) in left {
                std::fs::create_dir(parent.path().join(name)).unwrap();
                std::fs::write(parent.path().join(name).join(STATE), format!("{{\"step\": {step}}}"))
                    .unwrap();
            }
            assert_eq!(step_of(&whole(&directory)), Some(newest), "{left:?}");
            save(&directory, 9, 4);
            assert_eq!(names(parent.path()), after, "{left:?}");
        }
    }
}
