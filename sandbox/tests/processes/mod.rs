//! Processes below this one, as /proc tells of them; for tests that count or kill them.

use std::fs;

/// Everything below a process.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut all = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in text.split_whitespace().filter_map(|child| child.parse().ok()) {
            all.push(child);
            all.extend(family(child));
        }
    }
    all
}

/// What a process calls itself, or was started as.
pub(crate) fn name_of(pid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split('\0').next().unwrap_or_default().to_string()
}
