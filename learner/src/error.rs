//! What can go wrong between a checkpoint's files and a policy's tokens.

use std::io;
use std::path::PathBuf;

/// An error of the engine: model, optimiser, sampler, tokenizer and their files.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file could not be read or written.
    #[error("{path}: {reason}", path = path.display(), reason = reason(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
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
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> EngineError {
        let path = path.into();
        move |source| EngineError::Io { path, source }
    }

    /// As [`EngineError::io`], for reading a file that a checkpoint directory must hold.
    pub(crate) fn part(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> EngineError {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::NotFound => EngineError::checkpoint(path, NO_PART),
            _ => EngineError::Io { path, source },
        }
    }

    pub(crate) fn checkpoint(path: impl Into<PathBuf>, what: impl Into<String>) -> EngineError {
        EngineError::Checkpoint { path: path.into(), what: what.into() }
    }
}

const NO_PART: &str = "No such file; a checkpoint directory holds config.json, tokenizer.json and \
    model.safetensors, and for --resume optimizer.safetensors and trainer.json";

/// What the system said of a file and what to do about it: the end of a line that names the file.
pub(crate) fn reason(error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    let advice = match error.kind() {
        Kind::NotFound => "check the path",
        Kind::PermissionDenied => "check who may read and write there, or choose another path",
        Kind::NotADirectory => "a file stands where a directory should; choose another path",
        Kind::IsADirectory => "a directory stands where a file should; choose another path",
        Kind::AlreadyExists => "it is in the way; choose another path",
        Kind::ReadOnlyFilesystem => "choose a path that can be written",
        Kind::StorageFull | Kind::QuotaExceeded => "free some space or choose another --out",
        Kind::FileTooLarge => "raise the limit on the size of files or choose another --out",
        _ => return said(error),
    };
    format!("{}; {advice}", said(error))
}

/// The system's words, without the number that Rust puts behind them.
fn said(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

/// The engine's result.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    /// "free some space" was said of every failure of a file, of a path that is not there too.
    #[test]
    fn each_failure_of_a_file_has_its_own_advice() {
        let rows = [
            (2, "No such file or directory; check the path"),
            (13, "Permission denied; check who may read and write there, or choose another path"),
            (17, "File exists; it is in the way; choose another path"),
            (20, "Not a directory; a file stands where a directory should; choose another path"),
            (21, "Is a directory; a directory stands where a file should; choose another path"),
            (28, "No space left on device; free some space or choose another --out"),
            (30, "Read-only file system; choose a path that can be written"),
        ];
        for (number, words) in rows {
            let error = EngineError::io("sft/model.safetensors")(io::Error::from_raw_os_error(number));
            assert_eq!(error.to_string(), format!("sft/model.safetensors: {words}"));
        }
    }
}
