//! Wall: resource limits of one guest. Most are backstops behind the control group; where there is no group
//! they are what holds together with the supervisor's watch.

use std::io;

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use crate::protocol::{Class, Run};

/// Largest file the compiler may write, in bytes.
const COMPILED_FILE: u64 = 256 << 20;

/// Sets all limits, soft and hard alike: a guest can only lower them.
pub(crate) fn set(run: &Run, class: Class, may_fork: bool) -> io::Result<()> {
    let file_size = if class == Class::Compile { COMPILED_FILE } else { 0 };
    lower(Resource::RLIMIT_CORE, 0)?;
    lower(Resource::RLIMIT_FSIZE, file_size)?;
    lower(Resource::RLIMIT_MEMLOCK, 0)?;
    lower(Resource::RLIMIT_MSGQUEUE, 0)?;
    lower(Resource::RLIMIT_NOFILE, run.open_files)?;
    lower(Resource::RLIMIT_STACK, run.stack)?;
    lower(Resource::RLIMIT_AS, run.address_space)?;
    lower(Resource::RLIMIT_CPU, run.cpu_seconds)?;
    if !may_fork {
        // Threads count too. The kernel counts per user namespace, and there only we are: slot-init, the pid
        // namespace's first process, the guest.
        lower(Resource::RLIMIT_NPROC, run.processes + 2)?;
    }
    Ok(())
}

/// Both limits to `wanted`, or to the hard limit where that is lower: raising it is not ours to do.
fn lower(resource: Resource, wanted: u64) -> io::Result<()> {
    let wanted = if wanted == u64::MAX { RLIM_INFINITY } else { wanted };
    let (_, hard) = getrlimit(resource)?;
    match setrlimit(resource, wanted.min(hard), wanted.min(hard)) {
        Err(Errno::EPERM) if wanted >= hard => Ok(()),
        other => Ok(other?),
    }
}
