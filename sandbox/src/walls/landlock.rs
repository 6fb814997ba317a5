//! Wall: landlock, an inner layer that says what the mounts say once more: read and execute what is shown,
//! write nothing but the pipes under /dev (and the compiler its /tmp); no TCP; no signal and no abstract socket
//! to a process outside. What the kernel's version does not know is left out; `doctor` names the version.
//!
//! One thing it alone refuses: to list the root itself. A program can tell by that whether this wall stands around it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, Scope, path_beneath_rules,
};

use crate::protocol::Class;
use crate::sys;

/// The newest version this list was written for.
const NEWEST: ABI = ABI::V6;

/// The rules of a slot, made once; each guest restricts itself with a copy.
pub(crate) fn rules(class: Class) -> io::Result<RulesetCreated> {
    let writable: &[&str] = if class == Class::Run { &[] } else { &["/tmp"] };
    let shown = fs::read_dir("/")?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    make(&shown, writable).map_err(io::Error::other)
}

/// The rules where no mount namespace shows less than the host: read and execute only `shown` and the source's
/// directory, write nothing but /dev/null. Every part of it is needed, so a kernel that knows less is an error.
pub(crate) fn bare_rules(shown: &[PathBuf], directory: &Path) -> io::Result<RulesetCreated> {
    let version = sys::landlock_version();
    if version < NEWEST as i32 {
        return Err(io::Error::other(format!(
            "this kernel's landlock has version {version}; {} (Linux 6.12) is needed, which keeps signals inside",
            NEWEST as i32
        )));
    }
    make_bare(shown, directory).map_err(io::Error::other)
}

fn make_bare(shown: &[PathBuf], directory: &Path) -> Result<RulesetCreated, landlock::RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(shown, AccessFs::from_read(NEWEST)))?
        .add_rules(path_beneath_rules([directory], AccessFs::from_read(NEWEST)))?
        .add_rules(path_beneath_rules(["/dev/zero", "/dev/random", "/dev/urandom"], AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(
            ["/dev/null"],
            AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate,
        ))
}

fn make(shown: &[PathBuf], writable: &[&str]) -> Result<RulesetCreated, landlock::RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(shown, AccessFs::from_read(NEWEST)))?
        .add_rules(path_beneath_rules(
            ["/dev"],
            AccessFs::from_read(NEWEST) | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev,
        ))?
        .add_rules(path_beneath_rules(writable, AccessFs::from_all(NEWEST)))
}

/// Restricts the calling process, which has `no_new_privs`; the caller keeps its copy of the rules.
pub(crate) fn restrict(rules: &RulesetCreated) -> io::Result<()> {
    rules.try_clone()?.no_new_privs(false).restrict_self().map_err(io::Error::other)?;
    Ok(())
}

/// The rules as a descriptor, for a process that restricts itself without this crate.
pub(crate) fn descriptor(rules: &RulesetCreated) -> io::Result<OwnedFd> {
    Option::<OwnedFd>::from(rules.try_clone()?).ok_or_else(|| io::Error::other("the rules hold nothing"))
}
