//! Two programs that talk to each other, each in a slot of its own. The worker stands between them: what one writes it
//! reads at once and passes on, in one `poll` loop. So the two share no pipe, each direction has its writer's
//! output limit, and what was said can be kept.
//!
//! - Output is read whether or not the other side reads it, and kept (up to the limit) until it does. So nobody ever
//!   waits to write, and two that both write much before they read do not hang, as they would over a plain pipe.
//! - When one ends or closes its stdout, the other reads the end of its input behind all that was sent. What the
//!   other writes to one that is gone is read, counted and dropped: no broken pipe. Otherwise whether a program
//!   ends by itself or by SIGPIPE would depend on which of two processes the kernel let run first.
//! - Idle time is the time in which neither of the two nor the worker ran or waited for a core, so nobody is charged
//!   for waiting while the other one computes. It counts against both, for nothing shows from outside which of
//!   two silent programs owes the other a word. When it is over the limit of both, the solution is ended: the judge
//!   then reads the end of its input, has its idle time anew, and may have its say.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::poll::PollFd;

use super::guest::{self, Done, Guest, Ready};
use super::step_error;
use crate::{Outcome, SandboxError};

/// How much is passed on at once, in bytes: what a pipe holds.
const PIECE: usize = 64 << 10;

/// What the judge's idle time is counted less than the solution's, so that equal limits are over for the solution first:
/// the two are not looked at in the same instant.
const HEAD_START: Duration = Duration::from_millis(50);

/// One of the two programs of an interactive run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The program under test.
    Solution,
    /// The problem's author's program.
    Judge,
}

/// A finished interactive run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interaction {
    /// How the solution ended. Its `stdout` is empty: it went to the judge.
    pub solution: Outcome,
    /// How the judge ended. Its `stdout` is empty: it went to the solution.
    pub judge: Outcome,
    /// Which of the two ended, or was ended, first. A side that ends because the other one did is never the first; of two
    /// that end at the same moment, each for reasons of its own, either may be.
    pub first: Side,
    /// What was said, in the order in which it was passed on, as far as it was asked for.
    pub transcript: Transcript,
}

/// What two programs said to each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transcript {
    /// Never two in a row from the same side. Where one message ends and the next of the same side begins is not known:
    /// these are pipes.
    pub messages: Vec<Message>,
    /// Whether more was said than was asked to be kept.
    pub cut: bool,
}

/// What one side wrote until the other one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who wrote it.
    pub from: Side,
    /// What it wrote.
    pub bytes: Vec<u8>,
}

/// One of the two while it runs.
struct Party {
    guest: Guest,
    /// Sent to it, and not in its pipe yet.
    pending: VecDeque<u8>,
    /// When to look at its clocks.
    look: Instant,
}

/// Two running programs, and what is known of them so far.
pub(super) struct Dialogue {
    /// By [`Side`].
    parties: [Party; 2],
    first: Option<Side>,
    transcript: Transcript,
    /// Bytes that the transcript may still take.
    room: usize,
    /// The worker's own time when idle time began to count.
    own_mark: Duration,
    buffer: Vec<u8>,
}

const SIDES: [Side; 2] = [Side::Solution, Side::Judge];

impl Dialogue {
    /// `transcript`: how many bytes of what is said to keep.
    pub(super) fn new(solution: Guest, judge: Guest, transcript: usize) -> Dialogue {
        let parties = [solution, judge].map(|mut guest| {
            guest.renew_idle();
            Party { guest, pending: VecDeque::new(), look: Instant::now() }
        });
        Dialogue {
            parties,
            first: None,
            transcript: Transcript::default(),
            room: transcript,
            own_mark: own_time(),
            buffer: vec![0; PIECE],
        }
    }

    /// Runs both to their ends. Returns what is left of the solution, the judge, and their talk.
    pub(super) fn run(mut self) -> Result<(Done, Done, Side, Transcript), SandboxError> {
        while !self.parties.iter().all(|party| party.guest.over()) {
            SIDES.iter().try_for_each(|side| self.look(*side))?;
            let ready = self.wait().map_err(step_error("supervision"))?;
            for (side, ready) in SIDES.into_iter().zip(ready) {
                self.attend(side, &ready)?;
            }
        }
        let first = self.first.ok_or_else(|| step_error("supervision")(io::Error::other("nobody ended")))?;
        let [solution, judge] = self.parties.map(|party| party.guest.finish());
        Ok((solution?, judge?, first, self.transcript))
    }

    /// Looks at the clocks of one side, if it is time.
    fn look(&mut self, side: Side) -> Result<(), SandboxError> {
        let own_mark = self.own_mark;
        let (party, other) = self.pair(side);
        if party.guest.ended() || Instant::now() < party.look {
            return Ok(());
        }
        let excuse = |thorough: bool| {
            let own = own_time().saturating_sub(own_mark);
            if other.guest.ended() {
                return own;
            }
            let busy = other.guest.busy(thorough);
            // Once the other is gone, idle time begins anew. Asked after its clocks were read: those of a process that is
            // gone stand at zero, and the report of its end may be on its way.
            if other.guest.is_dying() || other.guest.is_dead() {
                return Duration::MAX;
            }
            let head_start = if side == Side::Judge { HEAD_START } else { Duration::ZERO };
            own + busy + head_start
        };
        party.look = party.guest.watch(&excuse)?;
        if party.guest.is_dying() {
            self.note_end(side);
        }
        Ok(())
    }

    /// Sleeps until there is something to do for either.
    fn wait(&self) -> io::Result<[Ready; 2]> {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(12);
        let places = self.parties.each_ref().map(|party| {
            let feeding = !party.pending.is_empty();
            party.guest.enlist(feeding, &mut fds)
        });
        let look = self.parties.iter().filter(|party| !party.guest.ended()).map(|party| party.look).min();
        guest::sleep(&mut fds, look)?;
        Ok(places.map(|places| places.ready(&fds)))
    }

    /// Does for one side what there is to do.
    fn attend(&mut self, side: Side, ready: &Ready) -> Result<(), SandboxError> {
        let (party, _) = self.pair(side);
        if ready.event {
            party.guest.take_event()?;
        }
        if ready.stdin {
            party.flush();
        }
        if ready.rest {
            party.guest.drain_rest()?;
        }
        if ready.stdout {
            self.pass_on(side)?;
        }
        let (party, _) = self.pair(side);
        party.guest.check_output()?;
        // Before the other reads the end of its input, for it may end by that.
        let closed = ready.stdout && party.guest.output_ended();
        if party.guest.ended() || party.guest.is_dying() || closed && party.guest.is_exiting() {
            self.note_end(side);
        }
        let (party, other) = self.pair(side);
        if party.guest.output_ended() && other.pending.is_empty() {
            other.guest.close_input();
        }
        // The last of what was sent to it may have been taken just now.
        if other.guest.output_ended() && party.pending.is_empty() {
            party.guest.close_input();
        }
        Ok(())
    }

    /// Notes that one side has ended, if it is the first.
    fn note_end(&mut self, side: Side) {
        if self.first.is_none() {
            self.first = Some(side);
            self.own_mark = own_time();
            self.pair(side).1.guest.renew_idle();
        }
    }

    /// Reads what one side wrote and hands it to the other.
    fn pass_on(&mut self, from: Side) -> Result<(), SandboxError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let (party, other) = self.pair(from);
        let length = party.guest.pass(&mut buffer)?;
        other.take(&buffer[..length]);
        self.record(from, &buffer[..length]);
        self.buffer = buffer;
        Ok(())
    }

    fn record(&mut self, from: Side, bytes: &[u8]) {
        let kept = &bytes[..bytes.len().min(self.room)];
        self.transcript.cut |= kept.len() < bytes.len();
        self.room -= kept.len();
        match self.transcript.messages.last_mut() {
            _ if kept.is_empty() => {}
            Some(message) if message.from == from => message.bytes.extend_from_slice(kept),
            _ => self.transcript.messages.push(Message { from, bytes: kept.to_vec() }),
        }
    }

    /// One side and the other.
    fn pair(&mut self, side: Side) -> (&mut Party, &mut Party) {
        let [solution, judge] = &mut self.parties;
        match side {
            Side::Solution => (solution, judge),
            Side::Judge => (judge, solution),
        }
    }
}

impl Party {
    /// Gives it bytes to read, behind those that wait.
    fn take(&mut self, bytes: &[u8]) {
        let left = if self.pending.is_empty() { self.guest.feed(bytes) } else { bytes };
        if self.guest.reads() {
            self.pending.extend(left);
        }
    }

    /// Gives it what waits, as far as its pipe takes it.
    fn flush(&mut self) {
        let (next, _) = self.pending.as_slices();
        let left = self.guest.feed(next).len();
        self.pending.drain(..self.pending.as_slices().0.len() - left);
        if !self.guest.reads() {
            self.pending.clear();
        }
    }
}

/// How long this thread has run or waited for a core: while it did, nothing was passed on.
fn own_time() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = schedstat.split_whitespace().take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Duration::from_nanos(nanos)
}
