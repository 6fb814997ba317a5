//! What can go wrong between a checkpoint's files and a policy's tokens.

use std::path::PathBuf;

/// An error of the engine: model, optimiser, sampler, tokenizer and their files.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file was read and is not what it has to be. `what` says what was expected, what came, what to do.
    #[error("{path}: {what}", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The caller asked for something that cannot be: a token id outside the vocabulary, an empty prompt.
    #[error("{0}")]
    Input(String),
    /// The tokenizer refused.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The tensor layer refused: our own failure.
    #[error("tensor: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl EngineError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> EngineError {
        let path = path.into();
        move |source| EngineError::Io { path, source }
    }

    pub(crate) fn checkpoint(path: impl Into<PathBuf>, what: impl Into<String>) -> EngineError {
        EngineError::Checkpoint { path: path.into(), what: what.into() }
    }
}

/// The engine's result.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;
