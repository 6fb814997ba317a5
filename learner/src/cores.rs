//! Which cores compute and which judge: a verifier that has its own is not slowed by a step of the trainer, nor the trainer by
//! programs that run.
//!
//! Threads and processes inherit the cores of the thread that starts them. So the trainer's are set before it has threads, and
//! the verifier is started by a thread that is on its cores for that moment.

use std::collections::BTreeSet;
use std::fmt;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// Cores of the two sides; left out, a side has all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cores {
    /// Where the trainer computes, as `0-5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trainer: Option<CoreList>,
    /// Where the verifier that the trainer starts judges, as `6,7`, or on what share of this process's cores, as `3/4`: on
    /// the last of them, and the trainer has the others. It judges as many at once as it has cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifier: Option<Side>,
}

/// Cores by their numbers, or a share of those that there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Side {
    /// These.
    These(CoreList),
    /// So many of so many, as `3/4`, rounded up.
    Share(usize, usize),
}

impl TryFrom<String> for Side {
    type Error = String;

    fn try_from(text: String) -> Result<Side, String> {
        let Some((part, whole)) = text.split_once('/') else {
            return CoreList::try_from(text).map(Side::These);
        };
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number <= MOST);
        match (number(part), number(whole)) {
            (Some(part), Some(whole)) if part > 0 && part < whole => Ok(Side::Share(part, whole)),
            _ => Err(format!("expected a share of the cores as \"3/4\", above 0 and below 1, not {text:?}")),
        }
    }
}

impl From<Side> for String {
    fn from(side: Side) -> String {
        match side {
            Side::These(cores) => cores.to_string(),
            Side::Share(part, whole) => format!("{part}/{whole}"),
        }
    }
}

/// Cores by their numbers, written as Linux does: `0-3,8`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CoreList(BTreeSet<usize>);

/// As many as a set of the system has.
const MOST: usize = CpuSet::count();

impl TryFrom<String> for CoreList {
    type Error = String;

    fn try_from(text: String) -> Result<CoreList, String> {
        let expected = || format!("expected cores as \"0-3,8\", all below {MOST}, not {text:?}");
        let number = |text: &str| text.trim().parse().ok().filter(|core| *core < MOST).ok_or_else(expected);
        let mut cores = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (number(first)?, number(last)?);
            if last < first {
                return Err(expected());
            }
            cores.extend(first..=last);
        }
        Ok(CoreList(cores))
    }
}

impl From<CoreList> for String {
    fn from(cores: CoreList) -> String {
        cores.to_string()
    }
}

impl fmt::Display for CoreList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = left.next() {
            let mut last = first;
            while left.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

impl Cores {
    /// What makes no sense whatever the machine.
    pub(crate) fn mistake(&self, own_verifier: bool) -> Option<String> {
        let (Some(verifier), own) = (&self.verifier, &self.trainer) else { return None };
        if !own_verifier {
            return Some("cores.verifier is of a verifier that the trainer starts, and rewards.urls names others: leave one out".to_owned());
        }
        let Side::These(verifier) = verifier else { return None };
        let shared = own.iter().flat_map(|own| own.0.intersection(&verifier.0)).next()?;
        Some(format!("cores.trainer and cores.verifier share core {shared}; they are there to be apart"))
    }

    /// Puts the trainer on its cores, before it has threads, and says who has which.
    ///
    /// # Errors
    /// This process may not be there: why, in one line.
    pub(crate) fn settle(&self) -> Result<Apart, String> {
        let apart = self.apart(&CoreList::own()?);
        let named = [("cores.trainer", &apart.trainer), ("cores.verifier", &apart.verifier)];
        for (key, cores) in named {
            cores.iter().try_for_each(|cores| cores.are_there(key))?;
        }
        apart.trainer.iter().try_for_each(CoreList::enter)?;
        Ok(apart)
    }

    /// Who has which of a process's cores. A single one cannot be shared out.
    fn apart(&self, all: &CoreList) -> Apart {
        let trainer = self.trainer.clone();
        match &self.verifier {
            None => Apart { trainer, verifier: None },
            Some(Side::These(verifier)) => Apart { trainer, verifier: Some(verifier.clone()) },
            Some(Side::Share(part, whole)) => {
                let of_trainer = trainer.as_ref().map_or_else(BTreeSet::new, |cores| cores.0.clone());
                let free: Vec<usize> = all.0.difference(&of_trainer).copied().collect();
                let most = free.len() - usize::from(trainer.is_none()).min(free.len());
                let count = (all.0.len() * part).div_ceil(*whole).min(most);
                let (rest, last) = free.split_at(free.len() - count);
                let list = |cores: &[usize]| Some(CoreList(cores.iter().copied().collect()));
                match count {
                    0 => Apart { trainer, verifier: None },
                    _ => Apart { trainer: trainer.or_else(|| list(rest)), verifier: list(last) },
                }
            }
        }
    }

    /// On how many cores a verifier judges that the trainer starts from here.
    pub(crate) fn judges(&self) -> usize {
        CoreList::own().map_or(1, |own| self.apart(&own).judges())
    }
}

/// Who has which cores; left out, a side has all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Apart {
    trainer: Option<CoreList>,
    verifier: Option<CoreList>,
}

impl Apart {
    /// On how many cores the verifier judges.
    pub(crate) fn judges(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.verifier.as_ref().map_or_else(all, |cores| cores.0.len())
    }

    /// Does something on the verifier's cores, which whatever it starts inherits.
    pub(crate) fn as_verifier<T>(&self, start: impl FnOnce() -> T) -> Result<T, String> {
        let Some(cores) = &self.verifier else { return Ok(start()) };
        let before = CoreList::own()?;
        // The trainer's cores may leave out the verifier's: a thread may go wherever its process might have gone.
        cores.enter()?;
        let started = start();
        before.enter()?;
        Ok(started)
    }
}

impl CoreList {
    /// Those of the calling thread.
    fn own() -> Result<CoreList, String> {
        let set =
            sched_getaffinity(Pid::from_raw(0)).map_err(|error| format!("which cores there are: {error}"))?;
        Ok(CoreList((0..MOST).filter(|core| set.is_set(*core).unwrap_or(false)).collect()))
    }

    fn are_there(&self, key: &str) -> Result<(), String> {
        let own = CoreList::own()?;
        match self.0.is_subset(&own.0) {
            true => Ok(()),
            false => Err(format!("{key} is {self}; this process may use {own}: choose among these")),
        }
    }

    /// Puts the calling thread there, and what it starts from now on.
    fn enter(&self) -> Result<(), String> {
        let mut set = CpuSet::new();
        let refused = |error: nix::Error| format!("cannot compute on cores {self}: {error}");
        self.0.iter().try_for_each(|core| set.set(*core)).map_err(refused)?;
        sched_setaffinity(Pid::from_raw(0), &set).map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<CoreList, String> {
        CoreList::try_from(text.to_owned())
    }

    #[test]
    fn lists_are_read_and_written_as_linux_does() {
        for (text, written) in [("0", "0"), ("0-3,8", "0-3,8"), ("3,1,2", "1-3"), (" 4 - 5 , 4", "4-5")] {
            assert_eq!(list(text).unwrap().to_string(), written, "{text}");
        }
        for text in ["", "a", "3-1", "0,", "-1", "1-", "99999"] {
            assert!(list(text).is_err_and(|what| what.contains("expected cores as \"0-3,8\"")), "{text}");
        }
    }

    #[test]
    fn sides_are_apart_and_where_this_process_may_be() {
        let cores = |trainer: &str, verifier: &str| Cores {
            trainer: list(trainer).ok(),
            verifier: list(verifier).ok().map(Side::These),
        };
        assert_eq!(cores("0-3", "4").mistake(true), None);
        assert!(cores("0-3", "3").mistake(true).unwrap().contains("share core 3"));
        assert!(cores("", "3").mistake(false).unwrap().contains("rewards.urls"));
        let refused = cores("1023", "").settle().unwrap_err();
        assert!(refused.starts_with("cores.trainer is 1023; this process may use "), "{refused}");
    }

    #[test]
    fn a_share_is_of_the_cores_that_there_are() {
        // Cores of the process, the trainer's by name, the verifier's share -> the trainer's, the verifier's.
        let rows = [
            ("0-7", "", "1/4", "0-5", "6-7"),
            ("0-7", "", "3/4", "0-1", "2-7"),
            ("2,5,9", "", "1/2", "2", "5,9"),
            ("0-7", "0-3", "1/8", "0-3", "7"),
            ("0-3", "0-2", "3/4", "0-2", "3"),
            ("0-1", "", "9/10", "0", "1"),
            // Nothing to share out.
            ("4", "", "1/2", "", ""),
            ("4", "4", "1/2", "4", ""),
        ];
        for (all, trainer, share, ours, judges) in rows {
            let verifier = Some(Side::try_from(share.to_owned()).unwrap());
            let apart = Cores { trainer: list(trainer).ok(), verifier }.apart(&list(all).unwrap());
            let expected = Apart { trainer: list(ours).ok(), verifier: list(judges).ok() };
            assert_eq!(apart, expected, "{all} {trainer} {share}");
        }
        for text in ["0/4", "4/4", "5/4", "a/4", "1/", "/2"] {
            let refused = Side::try_from(text.to_owned()).unwrap_err();
            assert!(refused.contains("expected a share of the cores as \"3/4\""), "{refused}");
        }
        assert_eq!(String::from(Side::try_from(" 3/ 4".to_owned()).unwrap()), "3/4");
    }

    /// A thread's threads and processes are where it was when it started them, and it is back afterwards.
    #[test]
    fn what_is_started_as_the_verifier_is_on_its_cores() {
        let all = CoreList::own().unwrap();
        let last = CoreList(all.0.iter().copied().last().into_iter().collect());
        let cores = Apart { trainer: None, verifier: Some(last.clone()) };
        let of_child = cores.as_verifier(|| {
            let status = std::process::Command::new("cat").arg("/proc/self/status").output().unwrap();
            let text = String::from_utf8(status.stdout).unwrap();
            text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned()
        });
        assert_eq!(of_child.unwrap(), last.to_string());
        assert_eq!(CoreList::own().unwrap(), all);
    }
}
