//! Wall: namespaces. A slot lives in its own mount, pid, net (no device, not even loopback up), ipc, uts and
//! cgroup namespaces, and without root in its own user namespace. Each guest gets a fresh pid and ipc namespace
//! inside: when the pid namespace's first process dies, the kernel kills and reaps everything in it.

use std::io;

use nix::sched::CloneFlags;

/// What a slot-init is cloned with. The cgroup namespace is made later, from inside the slot's groups.
pub(crate) fn slot_flags(user_namespace: bool) -> CloneFlags {
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if user_namespace { flags | CloneFlags::CLONE_NEWUSER } else { flags }
}

/// Maps the one user and group this process has outside to 0 inside. `setgroups` must be denied first, or the
/// kernel refuses the group map.
pub(crate) fn map_user((uid, gid): (u32, u32)) -> io::Result<()> {
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}
