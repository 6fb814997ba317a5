//! What is run.

use crate::Language;

/// One program in source form. WebAssembly is "source" too: the module's bytes, binary or text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    /// What the source is written in.
    pub language: Language,
    /// The source text as bytes; at most [`Program::MAX_SOURCE`].
    pub source: Vec<u8>,
    /// Arguments after the program's own name.
    pub args: Vec<String>,
}

impl Program {
    /// Longest accepted source, in bytes. `compile()` of a few megabytes of `[1,1,...]` takes tens of CPU
    /// seconds and gigabytes, so the cap comes first.
    pub const MAX_SOURCE: usize = 1 << 20;
    /// Longest accepted WebAssembly module, in bytes.
    pub const MAX_MODULE: usize = 64 << 20;

    /// A program without arguments.
    pub fn new(language: Language, source: impl Into<Vec<u8>>) -> Program {
        Program { language, source: source.into(), args: Vec::new() }
    }
}
