//! The second engine: WebAssembly modules.

use crate::{Limits, Outcome, SandboxError};

/// Whether the bytes are a module this engine can run; the error is the engine's own message.
pub(crate) fn validate(_module: &[u8]) -> Result<(), String> {
    Err("the WebAssembly engine is not part of this build".into())
}

/// Runs a module to its end.
///
/// # Errors
/// [`SandboxError::Unavailable`] while there is no engine.
pub(crate) fn run(
    _module: &[u8],
    _args: &[String],
    _stdin: &[u8],
    _limits: &Limits,
) -> Result<Outcome, SandboxError> {
    Err(SandboxError::Unavailable("the WebAssembly engine is not part of this build".into()))
}
