//! A program that is fed frames: u32 little-endian length, then the bytes. Input frames go to its fd 0, value
//! frames come from its fd 3. What a frame holds is data; a frame proves only that this program sent it.

use crate::{Outcome, SandboxError, Termination, Usage};

use super::Executable;
use super::alone::Inside;
use super::guest::Guest;

/// A running program that is fed input frames and answers with value frames (u32 little-endian length, bytes):
/// input on fd 0, values on fd 3; fd 1 and fd 2 are drained as in a run.
#[derive(Debug)]
pub struct Session {
    guest: Guest,
    executable: Executable,
    /// Nobody is alone while a session is open.
    _inside: Option<Inside>,
    /// Whether the program has broken the protocol or ended; then it can only be closed.
    spent: bool,
}

/// What one input frame led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// One value frame came back.
    Value {
        /// The frame's bytes: data, never believed to be more.
        bytes: Vec<u8>,
        /// What this exchange alone used.
        usage: Usage,
    },
    /// The bytes on fd 3 are no frame (length over `Limits::output`, more than one frame for an input, or the end
    /// inside a frame).
    Malformed,
    /// The program ended, or was ended, before its value came.
    Ended(Termination),
}

/// What lies in the value pipe's buffer.
enum Frame {
    Whole(Vec<u8>),
    Partial,
    Malformed,
}

impl Session {
    pub(super) fn new(guest: Guest, executable: Executable, inside: Option<Inside>) -> Session {
        Session { guest, executable, _inside: inside, spent: false }
    }

    /// One input frame in, one value frame out. `cpu_time` and `wall_time` of the limits hold for each exchange
    /// anew; the usage is this exchange's. After anything but a value the session only closes.
    ///
    /// # Errors
    /// [`SandboxError::Invalid`] for an input of 4 GiB or more, or after the session is spent; `SlotBroke` when the
    /// slot did, to be repeated in a new session ([`Sandbox::settle`](crate::Sandbox::settle)).
    pub fn exchange(&mut self, input: &[u8]) -> Result<Exchange, SandboxError> {
        if self.spent {
            return Err(SandboxError::Invalid(
                "the session is spent: its program ended or broke the protocol".into(),
            ));
        }
        let length = u32::try_from(input.len())
            .map_err(|_| SandboxError::Invalid("an input frame must be shorter than 4 GiB".into()))?;
        let frame = [&length.to_le_bytes()[..], input].concat();
        self.guest.renew();
        // Bytes from before the input are an answer to nothing.
        let early = self.guest.values.as_ref().is_some_and(|values| !values.bytes.is_empty());
        if !early {
            let limit = self.guest.frame_cap();
            self.guest.drive(&frame, |guest| {
                guest.values.as_ref().is_none_or(|values| {
                    values.ended() || !matches!(look(&values.bytes, limit), Frame::Partial)
                })
            })?;
        }
        let usage = self.guest.spent();
        let limit = self.guest.frame_cap();
        let bytes = self.guest.take_values();
        match look(&bytes, limit) {
            _ if early => Ok(self.end(Exchange::Malformed)),
            Frame::Whole(bytes) => Ok(Exchange::Value { bytes, usage }),
            Frame::Malformed => Ok(self.end(Exchange::Malformed)),
            // Ended by itself, or by a limit, or closed fd 3: nothing can come any more.
            Frame::Partial if bytes.is_empty() || self.guest.ended_by_us().is_some() => self.wait_end(),
            Frame::Partial => Ok(self.end(Exchange::Malformed)),
        }
    }

    /// Ends the program. The usage is the whole run's; stdout and stderr as captured. A program that ends by itself
    /// when its input ends has `wall_time` of the limits to do so, within its CPU limit.
    ///
    /// # Errors
    /// When the slot broke.
    pub fn close(mut self) -> Result<Outcome, SandboxError> {
        self.guest.close_input();
        self.guest.renew();
        self.guest.drop_values();
        self.guest.drive(&[], |_| false)?;
        let done = self.guest.finish()?;
        self.executable.image.keep(done.code);
        Ok(done.outcome)
    }

    /// Lets it end, within its limits, and says how it did.
    fn wait_end(&mut self) -> Result<Exchange, SandboxError> {
        self.guest.close_input();
        self.guest.drop_values();
        self.guest.drive(&[], |_| false)?;
        let termination = self.guest.termination();
        Ok(self.end(Exchange::Ended(termination)))
    }

    fn end(&mut self, exchange: Exchange) -> Exchange {
        self.spent = true;
        exchange
    }
}

/// Reads the buffer: exactly one frame is a value, more is malformed.
fn look(bytes: &[u8], limit: u64) -> Frame {
    let Some((header, body)) = bytes.split_first_chunk::<4>() else { return Frame::Partial };
    let length = u64::from(u32::from_le_bytes(*header));
    if length > limit || body.len() as u64 > length {
        return Frame::Malformed;
    }
    if (body.len() as u64) < length { Frame::Partial } else { Frame::Whole(body.to_vec()) }
}
