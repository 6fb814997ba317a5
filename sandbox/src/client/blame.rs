//! Whose fault it is that slots break: ours, unless the same program does it again and again where others do not.
//!
//! A slot that breaks is our failure and never a verdict, so the run is repeated on another one. That alone would let
//! a program that can break slots have no verdict at all, which is worth something to whoever wrote it. So a
//! program in whose runs two slots broke, one after the other, is put on trial: it gets the sandbox to itself and, up to three times, a fresh slot; after each one it breaks, programs of ours run on fresh slots,
//! for as long as its own attempts lasted so far and half a second at least. Three slots broken by it and none
//! by ours, it is at fault: [`Termination::BrokeSlots`](crate::Termination::BrokeSlots).
//!
//! What an innocent program could be convicted by, and why it is not:
//!
//! - a slot that breaks before it was told to run the program, or whose slot-init lives and says that a wall failed: the
//!   program had no part in it, so it does not count ([`SandboxError::Step`], not `SlotBroke`);
//! - processes of ours that die at random or periodically (an operator, the kernel out of memory): what kills slots
//!   three times during three runs would have to spare all of ours, which together last at least
//!   twice as long. One that it does not spare ends the trial, and the failure is ours;
//! - another program that breaks slots: none runs during the trial.

use std::time::{Duration, Instant};

use super::{ATTEMPTS, Manner, Sandbox};
use crate::{Language, SandboxError};

/// How many slots a program breaks before it is put on trial. Once may be an accident, and a spawner that dies takes
/// the slots of everybody along.
const SUSPECT: usize = 2;
/// How many fresh slots it breaks then before it is at fault.
const FRESH: usize = 3;
/// How long programs of ours must run well after each of them: at least, and at most.
const LEAST_PROBE: Duration = Duration::from_millis(500);
const LONGEST_PROBE: Duration = Duration::from_secs(10);
/// How long the others may take to end before a trial.
const PATIENCE: Duration = Duration::from_secs(120);

impl Sandbox {
    /// Repeats what broke its slot until it is settled whose fault that was; `None`: the program's, which was written
    /// in `language`. What is attempted must be the same each time, with the sandbox it is given.
    /// [`Sandbox::run`] does this by itself; a caller that holds a [`Session`](crate::Session) has to repeat it whole.
    ///
    /// # Errors
    /// Those of the attempts, but what another slot may cure only when it was tried in vain.
    pub fn settle<T>(
        &self,
        language: Language,
        mut attempt: impl FnMut(&Sandbox) -> Result<T, SandboxError>,
    ) -> Result<Option<T>, SandboxError> {
        let mut broken = 0;
        for attempts_left in (0..self.attempts()).rev() {
            match attempt(self) {
                Ok(done) => return Ok(Some(done)),
                Err(SandboxError::SlotBroke { .. }) if broken + 1 == SUSPECT => {
                    return self.try_alone(language, attempt);
                }
                Err(SandboxError::SlotBroke { .. }) if attempts_left > 0 => broken += 1,
                Err(SandboxError::Step { .. }) if attempts_left > 0 => {}
                Err(error) => return Err(error),
            }
        }
        Err(unsettled("no attempt was made"))
    }

    /// The trial; see the top of the file.
    fn try_alone<T>(
        &self,
        language: Language,
        mut attempt: impl FnMut(&Sandbox) -> Result<T, SandboxError>,
    ) -> Result<Option<T>, SandboxError> {
        let Some(alone) = self.alone(PATIENCE) else {
            return Err(unsettled("slots broke, and other runs did not end so that this one could be alone"));
        };
        let once = Sandbox { manner: Manner::Once, ..alone.clone() };
        let mut exposure = Duration::ZERO;
        for _ in 0..FRESH {
            alone.walls.pool()?.clear();
            match attempt(&once) {
                Ok(done) => return Ok(Some(done)),
                Err(SandboxError::SlotBroke { ran, .. }) => exposure += ran,
                Err(error) => return Err(error),
            }
            alone.walls.pool()?.clear();
            once.innocent(language, exposure.clamp(LEAST_PROBE, LONGEST_PROBE))?;
        }
        Ok(None)
    }

    /// Programs of ours, one after the other, none of which may break anything. An interpreter and the language's
    /// compiler: between them they use slots of every class.
    fn innocent(&self, language: Language, exposure: Duration) -> Result<(), SandboxError> {
        let started = Instant::now();
        while started.elapsed() < exposure {
            for language in [Language::Python3, language] {
                let state = self.examine(language);
                if !state.ok {
                    return Err(unsettled(&format!("slots broke, and so did ours: {}", state.hint)));
                }
            }
        }
        Ok(())
    }

    fn attempts(&self) -> usize {
        match self.manner {
            Manner::Once => 1,
            Manner::Stubborn => ATTEMPTS,
        }
    }
}

fn unsettled(text: &str) -> SandboxError {
    SandboxError::Step { step: "supervision", source: std::io::Error::other(text.to_string()) }
}
