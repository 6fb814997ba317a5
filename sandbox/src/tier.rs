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
}

impl Tier {
    /// One letter, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Tier::A => "A",
            Tier::B => "B",
            Tier::C => "C",
        }
    }

    /// Reads `A`, `B` or `C`, in either case.
    pub fn from_name(name: &str) -> Option<Tier> {
        match name {
            "A" | "a" => Some(Tier::A),
            "B" | "b" => Some(Tier::B),
            "C" | "c" => Some(Tier::C),
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
}

impl Lack {
    const ALL: [Lack; 1] = [Lack::Groups];

    /// The word of the spawner's environment.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Lack::Groups => "groups",
        }
    }

    /// Reads a list of words with commas between them; other words name nothing.
    pub(crate) fn from_names(names: &str) -> Vec<Lack> {
        Lack::ALL.into_iter().filter(|lack| names.split(',').any(|name| name == lack.name())).collect()
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
