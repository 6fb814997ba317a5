//! The client's hold on a slot's control group: limits to set, counters to read, each through a descriptor the
//! spawner opened. Where there is no group every question is answered `None`.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use crate::Limits;
use crate::protocol::Handle;

/// What a run may make the slot's own processes and the source file hold in addition, in bytes.
const OWN_MEMORY: u64 = 6 << 20;
/// slot-init and anchor.
const OWN_PROCESSES: u64 = 2;
/// What an interpreter may take to start, in bytes.
const INTERPRETER_MEMORY: u64 = 4 << 30;
/// How near the limit a full group's charge stands: the kernel charges a few dozen pages ahead for each core.
const CHARGED_AHEAD: u64 = 1 << 20;
/// Charges left after a run beyond which the group is emptied, or the slot thrown away.
const LEFTOVER: u64 = 8 << 20;

#[derive(Debug)]
pub(super) struct Knobs {
    files: HashMap<Handle, File>,
    memory: Option<u64>,
    processes: Option<u64>,
    /// Charged before the first run, file cache aside: slot-init and the warm interpreters.
    own_memory: u64,
    own_processes: u64,
}

/// The counters at one moment; a run's share is the difference of two.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) memory_usage: u64,
    pub(super) memory_peak: u64,
    pub(super) memory_kills: u64,
    pub(super) process_refusals: u64,
}

impl Knobs {
    pub(super) fn new(handles: Vec<Handle>, fds: impl Iterator<Item = OwnedFd>) -> Knobs {
        let files = handles.into_iter().zip(fds.map(File::from)).collect();
        let mut knobs = Knobs { files, memory: None, processes: None, own_memory: 0, own_processes: 0 };
        knobs.settle(0);
        knobs
    }

    /// Takes what is charged now as the slot's own; `interpreters` of them are warm.
    pub(super) fn settle(&mut self, interpreters: u64) {
        let usage = self.number(Handle::MemoryUsage).unwrap_or(0);
        self.own_memory = usage.saturating_sub(self.file_cache());
        self.own_processes = OWN_PROCESSES + interpreters;
    }

    /// Lifts the limits of the run before, so that an interpreter can be started.
    pub(super) fn release(&mut self) -> io::Result<()> {
        if self.memory.is_some() {
            self.set_memory(INTERPRETER_MEMORY)?;
            self.memory = Some(INTERPRETER_MEMORY);
        }
        if self.processes.is_some() {
            self.write(Handle::ProcessLimit, "64")?;
            self.processes = Some(64);
        }
        Ok(())
    }

    /// Whether memory, processes and CPU time are the kernel's to count.
    pub(super) fn present(&self) -> bool {
        !self.files.is_empty()
    }

    /// Sets the limits of the next run and starts its counters. `files` is what slot-init is about to put there for
    /// the guest to read, in bytes: charged to the group, and not the guest's.
    pub(super) fn arm(&mut self, limits: &Limits, files: u64) -> io::Result<Counters> {
        if !self.present() {
            return Ok(Counters::default());
        }
        let memory = limits.memory + self.own_memory + OWN_MEMORY + files;
        if self.memory != Some(memory) {
            self.set_memory(memory)?;
            self.memory = Some(memory);
        }
        let processes = u64::from(limits.processes) + self.own_processes;
        if self.processes != Some(processes) {
            self.write(Handle::ProcessLimit, &processes.to_string())?;
            self.processes = Some(processes);
        }
        // On a v2 kernel that cannot reset it, the peak stays the slot's highest; see `counters`.
        let _ = self.write(Handle::MemoryPeak, "0");
        let counters = self.counters();
        Ok(Counters { memory_usage: counters.memory_usage + files, ..counters })
    }

    pub(super) fn counters(&self) -> Counters {
        Counters {
            memory_usage: self.number(Handle::MemoryUsage).unwrap_or(0),
            memory_peak: self.memory_peak().unwrap_or(0),
            memory_kills: self.line(Handle::MemoryEvents, "oom_kill").unwrap_or(0),
            process_refusals: self.line(Handle::ProcessEvents, "max").unwrap_or(0),
        }
    }

    /// The most memory charged to the group at once since [`Self::arm`].
    pub(super) fn memory_peak(&self) -> Option<u64> {
        self.number(Handle::MemoryPeak)
    }

    /// CPU time charged to the group so far, in nanoseconds.
    pub(super) fn cpu_nanos(&self) -> Option<u64> {
        self.number(Handle::CpuNanos)
            .or_else(|| self.line(Handle::CpuStat, "usage_usec").map(|micros| micros * 1000))
    }

    /// Whether a run of these limits has filled its memory, and lives on only because the kernel takes the files it
    /// runs from out of the group and reads them again, page by page, in the run's time. It kills no process as long
    /// as it finds such a page. Files are charged to the group that first touched them, so without this question the
    /// same program would end by memory where its interpreter's file had been read before, and else by time.
    pub(super) fn starved(&self, limits: &Limits) -> bool {
        let (Some(usage), Some(most)) = (self.number(Handle::MemoryUsage), self.memory) else { return false };
        usage + CHARGED_AHEAD >= most && usage.saturating_sub(self.file_cache()) >= limits.memory / 16 * 15
    }

    /// Whether the group can have been full since [`Self::arm`]. The kernel counts kills in a group whether it was that which
    /// had no memory left, or the machine, and only the first is the program's doing. Where the peak cannot be reset it may be
    /// an older one's, and the answer is yes.
    pub(super) fn was_full(&self, counters: &Counters) -> bool {
        let peak = counters.memory_peak;
        self.memory.is_none_or(|most| peak == 0 || peak >= most / 16 * 15)
    }

    /// After a run: whether the group is as it was. Page cache of the interpreter's files may stay, for the kernel
    /// gives it up before it would kill; anything else is a leftover.
    pub(super) fn clean(&self) -> bool {
        let most = self.own_memory + LEFTOVER;
        let Some(usage) = self.number(Handle::MemoryUsage) else { return true };
        if usage <= most || usage.saturating_sub(self.file_cache()) <= most {
            return true;
        }
        let _ = self.write(Handle::MemoryEmpty, "0");
        let usage = self.number(Handle::MemoryUsage).unwrap_or(u64::MAX);
        usage.saturating_sub(self.file_cache()) <= most
    }

    /// Charged file cache, which the kernel gives up before it would kill.
    fn file_cache(&self) -> u64 {
        self.line(Handle::MemoryStat, "active_file").unwrap_or(0)
            + self.line(Handle::MemoryStat, "inactive_file").unwrap_or(0)
    }

    /// v1 keeps memory <= memory + swap at every moment, so the order depends on the direction.
    fn set_memory(&self, bytes: u64) -> io::Result<()> {
        let value = bytes.to_string();
        if self.memory.is_some_and(|now| bytes > now) && self.files.contains_key(&Handle::MemorySwapLimit) {
            self.write(Handle::MemorySwapLimit, &value)?;
            return self.write(Handle::MemoryLimit, &value);
        }
        self.write(Handle::MemoryLimit, &value)?;
        match self.write(Handle::MemorySwapLimit, &value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn write(&self, handle: Handle, value: &str) -> io::Result<()> {
        let file = self.files.get(&handle).ok_or(io::ErrorKind::NotFound)?;
        file.write_all_at(value.as_bytes(), 0)
            .map_err(|error| io::Error::new(error.kind(), format!("{handle:?} = {value}: {error}")))
    }

    fn text(&self, handle: Handle) -> Option<String> {
        let mut buffer = [0; 8192];
        let length = self.files.get(&handle)?.read_at(&mut buffer, 0).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    fn number(&self, handle: Handle) -> Option<u64> {
        self.text(handle)?.trim().parse().ok()
    }

    fn line(&self, handle: Handle, name: &str) -> Option<u64> {
        let text = self.text(handle)?;
        let mut words = text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(name)).then_some(words)
        })?;
        words.next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel killed guests of a machine without memory, and each was said to be over its limit.
    #[test]
    fn only_a_full_group_makes_a_kill_the_programs() {
        let most = 256 << 20;
        let knobs = Knobs {
            files: HashMap::new(),
            memory: Some(most),
            processes: None,
            own_memory: 0,
            own_processes: 0,
        };
        // No peak is a kernel that does not tell.
        for (peak, full) in
            [(most, true), (most - (1 << 20), true), (most / 2, false), (1 << 20, false), (0, true)]
        {
            let counters = Counters { memory_peak: peak, memory_kills: 1, ..Counters::default() };
            assert_eq!(knobs.was_full(&counters), full, "{peak}");
        }
    }
}
