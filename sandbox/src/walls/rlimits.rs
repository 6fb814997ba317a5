//! Wall: resource limits of one guest. Most are backstops behind the control group; where there is no group
//! they are what holds together with the supervisor's watch.

use std::io;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use crate::protocol::{Class, Run};

/// Largest file the compiler may write, in bytes.
const COMPILED_FILE: u64 = 256 << 20;
/// Largest file a runtime may write in its /tmp, in bytes.
const SCRATCH_FILE: u64 = 16 << 20;

/// What is the same for every guest of a slot.
pub(crate) fn lasting(class: Class) -> Vec<(Resource, u64)> {
    let file_size = match class {
        Class::Run => 0,
        Class::Cold => SCRATCH_FILE,
        Class::Compile => COMPILED_FILE,
    };
    vec![
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, file_size),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
    ]
}

/// What one run says. `beside` counts the processes of the slot that share the guest's user, where nothing better
/// counts processes.
pub(crate) fn of(run: &Run, beside: Option<u64>) -> Vec<(Resource, u64)> {
    let mut limits = vec![
        (Resource::RLIMIT_NOFILE, run.open_files),
        (Resource::RLIMIT_STACK, run.stack),
        (Resource::RLIMIT_AS, run.address_space),
        (Resource::RLIMIT_CPU, run.cpu_seconds),
    ];
    if let Some(beside) = beside {
        // Threads count too. The kernel counts per user namespace, and there only the slot is.
        limits.push((Resource::RLIMIT_NPROC, run.processes + beside));
    }
    limits
}

/// Each limit, or this process's hard limit where that is lower: raising it is not ours to do.
pub(crate) fn clamp(limits: &[(Resource, u64)]) -> io::Result<Vec<(Resource, u64)>> {
    let clamp = |(resource, wanted): &(Resource, u64)| {
        let wanted = if *wanted == u64::MAX { RLIM_INFINITY } else { *wanted };
        let (_, hard) = getrlimit(*resource)?;
        Ok((*resource, wanted.min(hard)))
    };
    limits.iter().map(clamp).collect()
}

/// Sets them in the calling process, soft and hard alike: a guest can only lower them.
pub(crate) fn set(limits: &[(Resource, u64)]) -> io::Result<()> {
    clamp(limits)?.into_iter().try_for_each(|(resource, value)| Ok(setrlimit(resource, value, value)?))
}
