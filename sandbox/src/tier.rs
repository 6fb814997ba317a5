//! How strong the walls are that this host allows.

use std::fmt;

/// What the host gives, best first. Found by doing the whole sequence, never by looking at versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Root and cgroup v2 with its controllers.
    A,
    /// Root and cgroup v1 controllers.
    B,
    /// User namespaces without root, or root where no control group can be made: single-process guests,
    /// memory and CPU time watched per process.
    C,
    /// Neither namespaces nor control groups, as in a default container: landlock and the system-call list alone hold
    /// guests of one process; no compiler.
    D,
    /// WebAssembly alone, on any host: no kernel wall, no program but a module in the engine.
    W,
}

impl Tier {
    /// One letter, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Tier::A => "A",
            Tier::B => "B",
            Tier::C => "C",
            Tier::D => "D",
            Tier::W => "W",
        }
    }

    /// Reads `A`, `B`, `C`, `D` or `W`, in either case.
    pub fn from_name(name: &str) -> Option<Tier> {
        match name {
            "A" | "a" => Some(Tier::A),
            "B" | "b" => Some(Tier::B),
            "C" | "c" => Some(Tier::C),
            "D" | "d" => Some(Tier::D),
            "W" | "w" => Some(Tier::W),
            _ => None,
        }
    }
}

/// Something that a host may lack. What [`SandboxConfig::without`](crate::SandboxConfig::without) names is not used
/// even where it is there: so the weaker tiers are tried on a stronger host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Control groups, as for a user to whom none is delegated.
    Groups,
    /// Mounts: namespaces can be made and are of no use, as under a host's policy for user namespaces.
    Mounts,
    /// Namespaces, mounts, and the capabilities that containers are not given by default.
    Namespaces,
    /// Capabilities, so that guests run as the user who started the sandbox.
    Users,
    /// All kernel walls: tier W. Nothing is started but the compiler of WebAssembly.
    Walls,
    /// One wall of each Python run, and nothing else: for benches alone.
    #[cfg(feature = "removable-walls")]
    Step(Step),
}

/// A step of `zygote.py`'s by its name there.
#[cfg(feature = "removable-walls")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Closing what is open, and a process group of the guest's own.
    Descriptors,
    /// Giving capabilities up.
    Credentials,
    /// File rules, TCP, scopes.
    Landlock,
    /// Resource limits.
    Rlimits,
    /// The lists of system calls: made, and gone through at each call.
    Seccomp,
}

impl Lack {
    const ALL: &[Lack] = &[
        Lack::Groups,
        Lack::Mounts,
        Lack::Namespaces,
        Lack::Users,
        Lack::Walls,
        #[cfg(feature = "removable-walls")]
        Lack::Step(Step::Descriptors),
        #[cfg(feature = "removable-walls")]
        Lack::Step(Step::Credentials),
        #[cfg(feature = "removable-walls")]
        Lack::Step(Step::Landlock),
        #[cfg(feature = "removable-walls")]
        Lack::Step(Step::Rlimits),
        #[cfg(feature = "removable-walls")]
        Lack::Step(Step::Seccomp),
    ];

    /// The word of the spawner's environment.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Lack::Groups => "groups",
            Lack::Mounts => "mounts",
            Lack::Namespaces => "namespaces",
            Lack::Users => "users",
            Lack::Walls => "walls",
            #[cfg(feature = "removable-walls")]
            Lack::Step(step) => match step {
                Step::Descriptors => "descriptors",
                Step::Credentials => "credentials",
                Step::Landlock => "landlock",
                Step::Rlimits => "rlimits",
                Step::Seccomp => "seccomp",
            },
        }
    }

    /// Reads a list of words with commas between them; other words name nothing.
    pub(crate) fn from_names(names: &str) -> Vec<Lack> {
        Lack::ALL.iter().filter(|lack| names.split(',').any(|name| name == lack.name())).copied().collect()
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
