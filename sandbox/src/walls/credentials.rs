//! Wall: credentials. A guest has a user number of its slot's own, no groups, no capability in any set, and
//! `no_new_privs`, so no set-id file can give any back.

use std::io;

use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::sys;

/// What a slot-init needs: `CAP_DAC_OVERRIDE` to read what the compiler, another user, wrote; `CAP_KILL`,
/// `CAP_SETGID`, `CAP_SETUID` to end guests and to change their user; `CAP_SYS_PTRACE` to enter the namespace of
/// an anchor, which is not dumpable; `CAP_SYS_ADMIN` to make and enter namespaces.
const SLOT: [u32; 6] = [1, 5, 6, 7, 19, 21];

/// What a slot-init keeps for its lifetime. `no_new_privs` is inherited by every guest.
pub(crate) fn limit_slot() -> io::Result<()> {
    prctl::set_no_new_privs()?;
    sys::keep_capabilities(&SLOT)
}

/// What a launcher needs of that: to enter the namespace of an anchor, which is not dumpable.
const LAUNCHER: u64 = 1 << 19 | 1 << 21;

/// Becomes the guests' user, but for [`LAUNCHER`].
pub(crate) fn become_launcher(user: Option<u32>) -> io::Result<()> {
    if let Some(number) = user {
        prctl::set_keepcaps(true)?;
        become_user(number)?;
    }
    sys::set_capabilities(LAUNCHER)
}

fn become_user(number: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(number), Gid::from_raw(number));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    Ok(setresuid(uid, uid, uid)?)
}

/// Leaves everything behind: groups, user, capabilities. Without a `user` the namespace's only one stays.
pub(crate) fn drop_all(user: Option<u32>) -> io::Result<()> {
    if let Some(number) = user {
        become_user(number)?;
    }
    sys::set_capabilities(0)?;
    prctl::set_no_new_privs()?;
    // A change of user clears the parent-death signal; set it last.
    prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    Ok(())
}
