//! Directories that keep a few things between processes, and let the oldest go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Removes what was kept longest ago until `most` are left, `newest` among them.
pub(crate) fn shrink(
    directory: &Path,
    newest: &str,
    most: usize,
    remove: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut kept: Vec<(SystemTime, PathBuf)> = fs::read_dir(directory)?
        .flatten()
        .filter(|entry| entry.file_name() != newest)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    kept.sort();
    let surplus = (kept.len() + 1).saturating_sub(most);
    kept.iter().take(surplus).try_for_each(|(_, path)| remove(path))
}
