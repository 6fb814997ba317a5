//! Wall: control groups. One group per slot, below the spawner's own group and never elsewhere: limits and
//! counters by the v2 controllers, or by the v1 ones; on a host with both hierarchies the v2 group, which has no
//! controllers there, still ends a slot with one write. The slot-init lives in the group, and so do its guests.
//!
//! The spawner makes a group and opens its files; the client gets the descriptors, so that reading a counter costs
//! one `pread` and needs no privilege and no path.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::protocol::Handle;

/// Prefix of the groups' names; the spawner's process number and the moment it started follow, so that a later one
/// knows its dead kin, also when the number has gone to another process.
const PREFIX: &str = "assay-";

/// Where groups can be made on this host.
#[derive(Debug, Clone)]
pub(crate) enum Hierarchy {
    /// v2 with memory and pids controllers for children of this directory.
    Unified(PathBuf),
    /// The v1 directories; the v2 one, where mounted, for killing.
    Legacy { memory: PathBuf, pids: PathBuf, cpuacct: PathBuf, unified: Option<PathBuf> },
}

/// One slot's group: its directories, one per hierarchy.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) directories: Vec<PathBuf>,
    kill: Option<PathBuf>,
}

impl Hierarchy {
    /// Finds a usable hierarchy by making a group in it and setting a limit there. The error says what failed.
    pub(crate) fn find() -> io::Result<Hierarchy> {
        let own = own_groups()?;
        let unified = own.get("").cloned();
        let mut reasons = Vec::new();
        if let Some(directory) = &unified {
            match enable_controllers(directory).and_then(|()| {
                let found = Hierarchy::Unified(directory.clone());
                found.try_out().map(|()| found)
            }) {
                Ok(found) => return Ok(found),
                Err(error) => reasons.push(format!("v2 at {}: {error}", directory.display())),
            }
        }
        if let (Some(memory), Some(pids), Some(cpuacct)) =
            (own.get("memory"), own.get("pids"), own.get("cpuacct"))
        {
            let (memory, pids, cpuacct) = (memory.clone(), pids.clone(), cpuacct.clone());
            let found = Hierarchy::Legacy { memory, pids, cpuacct, unified };
            match found.try_out() {
                Ok(()) => return Ok(found),
                Err(error) => reasons.push(format!("v1: {error}")),
            }
        }
        if reasons.is_empty() {
            reasons.push(
                "neither a v2 hierarchy nor the v1 controllers memory, pids, cpuacct are mounted".into(),
            );
        }
        Err(io::Error::other(reasons.join("; ")))
    }

    /// Makes a slot's group.
    pub(crate) fn create(&self, number: u64) -> io::Result<Group> {
        let spawner = std::process::id();
        let name = format!("{PREFIX}{spawner}-{}-{number}", started_at(spawner).unwrap_or(0));
        let parents: Vec<&PathBuf> = match self {
            Hierarchy::Unified(directory) => vec![directory],
            Hierarchy::Legacy { memory, pids, cpuacct, unified } => {
                let mut parents = vec![memory, pids, cpuacct];
                parents.extend(unified.as_ref());
                // One directory where controllers share a hierarchy.
                let mut seen = std::collections::HashSet::new();
                parents.retain(|parent| seen.insert(parent.to_path_buf()));
                parents
            }
        };
        let mut group = Group { directories: Vec::new(), kill: None };
        for parent in parents {
            let directory = parent.join(&name);
            if let Err(error) = fs::create_dir(&directory) {
                group.remove();
                let text = format!("{}: {error}", directory.display());
                return Err(io::Error::new(error.kind(), text));
            }
            if directory.join("cgroup.kill").exists() {
                group.kill = Some(directory.join("cgroup.kill"));
            }
            group.directories.push(directory);
        }
        Ok(group)
    }

    /// Opens the files the client works with. Those a kernel lacks are left out.
    pub(crate) fn handles(&self, group: &Group) -> io::Result<Vec<(Handle, OwnedFd)>> {
        let files: &[(Handle, &str)] = match self {
            Hierarchy::Unified(_) => &[
                (Handle::MemoryLimit, "memory.max"),
                (Handle::MemoryUsage, "memory.current"),
                (Handle::MemoryPeak, "memory.peak"),
                (Handle::MemoryEvents, "memory.events"),
                (Handle::MemoryStat, "memory.stat"),
                (Handle::ProcessLimit, "pids.max"),
                (Handle::ProcessEvents, "pids.events"),
                (Handle::CpuStat, "cpu.stat"),
            ],
            Hierarchy::Legacy { .. } => &[
                (Handle::MemoryLimit, "memory.limit_in_bytes"),
                (Handle::MemorySwapLimit, "memory.memsw.limit_in_bytes"),
                (Handle::MemoryUsage, "memory.usage_in_bytes"),
                (Handle::MemoryPeak, "memory.max_usage_in_bytes"),
                (Handle::MemoryEvents, "memory.oom_control"),
                (Handle::MemoryStat, "memory.stat"),
                (Handle::MemoryEmpty, "memory.force_empty"),
                (Handle::ProcessLimit, "pids.max"),
                (Handle::ProcessEvents, "pids.events"),
                (Handle::CpuNanos, "cpuacct.usage"),
            ],
        };
        let mut handles = Vec::new();
        for (handle, name) in files {
            let Some(path) = group.directories.iter().map(|d| d.join(name)).find(|path| path.exists()) else {
                continue;
            };
            handles.push((*handle, open_widest(&path)?.into()));
        }
        Ok(handles)
    }

    /// Removes groups that a spawner left behind when it was killed. Only empty ones can be removed.
    pub(crate) fn sweep(&self) {
        let parents: Vec<&PathBuf> = match self {
            Hierarchy::Unified(directory) => vec![directory],
            Hierarchy::Legacy { memory, pids, cpuacct, unified } => {
                [memory, pids, cpuacct].into_iter().chain(unified).collect()
            }
        };
        for entry in parents.iter().filter_map(|parent| parent.read_dir().ok()).flatten().flatten() {
            if entry.file_name().to_str().is_some_and(is_orphan) {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }

    fn try_out(&self) -> io::Result<()> {
        let group = self.create(0)?;
        let result = self.handles(&group).and_then(|handles| {
            let has = |wanted: Handle| handles.iter().any(|(handle, _)| *handle == wanted);
            let cpu = has(Handle::CpuNanos) || has(Handle::CpuStat);
            if has(Handle::MemoryLimit) && has(Handle::ProcessLimit) && cpu {
                return Ok(());
            }
            Err(io::Error::other("the controllers memory and pids are not enabled here"))
        });
        group.remove();
        result
    }
}

impl Group {
    /// Kills everything in the group, where the kernel can do that at once.
    pub(crate) fn kill(&self) {
        if let Some(path) = &self.kill {
            let _ = fs::write(path, "1");
        }
    }

    /// Removes the directories; the group must be empty of processes.
    pub(crate) fn remove(&self) {
        for directory in &self.directories {
            // A group whose last process has just been reaped may be busy for a moment longer.
            for _ in 0..50 {
                match fs::remove_dir(directory) {
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                        std::thread::sleep(std::time::Duration::from_millis(2));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Whether a group of this name was made by a spawner that is gone.
fn is_orphan(name: &str) -> bool {
    let mut parts = name.strip_prefix(PREFIX).unwrap_or_default().split('-');
    let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
    let Some(spawner) = number().and_then(|pid| u32::try_from(pid).ok()) else { return false };
    let started = started_at(spawner);
    // The leaf that `enable_controllers` makes has no moment in its name.
    started.is_none() || number().is_some_and(|moment| started != Some(moment))
}

/// When a living process started, in clock ticks since the machine did.
fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// Read-write where the file allows it, else read-only, else write-only.
fn open_widest(path: &Path) -> io::Result<File> {
    let open = |read, write| File::options().read(read).write(write).open(path);
    open(true, true).or_else(|_| open(true, false)).or_else(|_| open(false, true))
}

/// Lets children of a v2 directory have limits. Where processes stand in the way (the kernel allows them only in
/// leaves), our own are moved into a leaf; others are not ours to move.
fn enable_controllers(directory: &Path) -> io::Result<()> {
    let available = fs::read_to_string(directory.join("cgroup.controllers"))?;
    let has = |text: &str, name: &str| text.split_whitespace().any(|word| word == name);
    if !has(&available, "memory") || !has(&available, "pids") {
        return Err(io::Error::other("the controllers memory and pids are not delegated to this group"));
    }
    let control = directory.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&control)?;
    if has(&enabled, "memory") && has(&enabled, "pids") {
        return Ok(());
    }
    match fs::write(&control, "+memory +pids") {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
        other => return other,
    }
    let leaf = directory.join(format!("{PREFIX}{}-self", std::process::id()));
    fs::create_dir_all(&leaf)?;
    let ours = own_family();
    for pid in fs::read_to_string(directory.join("cgroup.procs"))?.lines() {
        if !ours.contains(&pid.parse().unwrap_or(0)) {
            let _ = fs::remove_dir(&leaf);
            return Err(io::Error::other(format!(
                "process {pid} shares this group; start under `systemd-run --scope -p Delegate=yes`"
            )));
        }
        fs::write(leaf.join("cgroup.procs"), pid)?;
    }
    fs::write(&control, "+memory +pids")
}

/// This process, its parent, and the parent's children.
fn own_family() -> Vec<i32> {
    let parent = nix::unistd::getppid().as_raw();
    let mut family = vec![std::process::id() as i32, parent];
    if let Ok(text) = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")) {
        family.extend(text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    family
}

/// The directory of this process's own group per controller; the v2 hierarchy under the empty name.
fn own_groups() -> io::Result<HashMap<String, PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mut groups = HashMap::new();
    for line in fs::read_to_string("/proc/self/cgroup")?.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        for controller in controllers.split(',') {
            if let Some(directory) = mounted_at(&mounts, controller, Path::new(path)) {
                groups.insert(controller.to_string(), directory);
            }
        }
    }
    Ok(groups)
}

/// Where the group `path` of a controller's hierarchy is visible, by the lines of mountinfo.
fn mounted_at(mounts: &str, controller: &str, path: &Path) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let (mut left, mut right) = (left.split(' ').skip(3), right.split(' '));
        let (root, point) = (left.next()?, left.next()?);
        let (kind, options) = (right.next()?, right.nth(1)?);
        let fits = match controller {
            "" => kind == "cgroup2",
            name => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        let inner = path.strip_prefix(root).ok()?;
        fits.then(|| Path::new(point).join(inner))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_the_dead_are_known() {
        let own = std::process::id();
        let started = started_at(own).unwrap();
        // No process has a number this large.
        let dead = 1 << 30;
        for (name, orphan) in [
            (format!("assay-{own}-{started}-1"), false),
            (format!("assay-{own}-{}-1", started - 1), true),
            (format!("assay-{dead}-{started}-1"), true),
            (format!("assay-{own}-self"), false),
            (format!("assay-{dead}-self"), true),
            ("assay-tests".into(), false),
            ("system.slice".into(), false),
        ] {
            assert_eq!(is_orphan(&name), orphan, "{name}");
        }
    }
}
