//! The forms of what `/proc` says of a process (proc(5)). Text in, facts out: who reads, and through which mount, is
//! the caller's affair.

/// The process of a pidfd, in the reader's pid namespace, by `/proc/self/fdinfo`; none once it was reaped.
pub(crate) fn number_of_pidfd(fdinfo: &str) -> Option<i32> {
    let number = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()?;
    Some(number).filter(|number| *number > 0)
}

/// `/proc/N/stat`, behind the name, which is what the process says it is and may hold anything.
#[derive(Debug)]
pub(crate) struct Stat<'a>(Vec<&'a str>);

impl Stat<'_> {
    pub(crate) fn of(text: &str) -> Stat<'_> {
        Stat(text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect())
    }

    /// Whether it is on its way out, PF_EXITING; none where nothing is said.
    pub(crate) fn is_exiting(&self) -> Option<bool> {
        self.number(6).map(|flags| flags & 4 != 0)
    }

    /// Whether it runs, or waits for a core and nothing else.
    pub(crate) fn is_runnable(&self) -> bool {
        self.0.first() == Some(&"R")
    }

    /// Whether the kernel holds it up: it reads from a disk, or waits for memory.
    pub(crate) fn is_held_up(&self) -> bool {
        self.0.first() == Some(&"D")
    }

    /// 0 where nothing is said.
    pub(crate) fn threads(&self) -> u64 {
        self.number(17).unwrap_or(0)
    }

    /// In bytes; 0 where nothing is said.
    pub(crate) fn resident(&self) -> u64 {
        self.number(21).unwrap_or(0) * 4096
    }

    /// A field, counted from the state.
    fn number(&self, index: usize) -> Option<u64> {
        self.0.get(index)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name with all that ends names, as any process may give itself one.
    const STAT: &str = "7 (a) b (c) R 1 7 7 0 -1 4194308 90 0 0 0 1 2 0 0 20 0 3 0 55 8192 11 0";

    #[test]
    fn a_name_says_nothing_of_its_process() {
        let stat = Stat::of(STAT);
        assert_eq!((stat.is_exiting(), stat.threads(), stat.resident()), (Some(true), 3, 11 * 4096));
        assert!(stat.is_runnable() && !Stat::of("7 (R) S 1").is_runnable());
        assert!(Stat::of("7 (R) D 1").is_held_up() && !stat.is_held_up());
        let stat = Stat::of("");
        assert_eq!((stat.is_exiting(), stat.threads(), stat.resident()), (None, 0, 0));
        assert!(!stat.is_runnable());
    }

    #[test]
    fn a_reaped_process_has_no_number() {
        for (number, wanted) in [("12", Some(12)), ("0", None), ("-1", None), ("", None)] {
            assert_eq!(number_of_pidfd(&format!("pos:\t0\nPid:\t{number}\nNSpid:\t1\n")), wanted);
        }
        assert_eq!(number_of_pidfd(""), None);
    }
}
