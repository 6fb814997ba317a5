//! The walls. A slot-init builds what lasts (`build`), each guest finishes the rest in its own process (`enter`);
//! both are one straight list of named steps, and a failure carries the name of its step.
//!
//! ```text
//! build   namespaces -> cgroup -> mounts -> host name -> capabilities of the slot-init
//! enter   descriptors -> oom score -> rlimits -> credentials -> landlock -> seccomp -> exec
//! ```

pub(crate) mod bare;
pub(crate) mod cgroup;
pub(crate) mod credentials;
pub(crate) mod landlock;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod rlimits;
pub(crate) mod seccomp;

use std::io;

use crate::protocol::Failure;

/// Every step's name, so that an error can carry it as a `&'static str` across processes.
const STEPS: &[&str] = &[
    "guardian",
    "spawner",
    "slot",
    "namespaces",
    "user map",
    "cgroup",
    "mounts",
    "host name",
    "capabilities",
    "source",
    "pipes",
    "process namespace",
    "descriptors",
    "oom score",
    "rlimits",
    "credentials",
    "landlock",
    "seccomp",
    "exec",
    "binary",
    "files",
    "supervision",
    "interpreter",
    "launcher",
    "compiler",
];

/// The static name of a step that came over a socket.
pub(crate) fn step_name(name: &str) -> &'static str {
    STEPS.iter().find(|step| **step == name).copied().unwrap_or("slot")
}

/// Does one named step.
pub(crate) fn step<T>(name: &'static str, work: impl FnOnce() -> io::Result<T>) -> Result<T, Failure> {
    debug_assert!(STEPS.contains(&name));
    work().map_err(|error| Failure::new(name, &error))
}
