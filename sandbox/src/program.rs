//! What is run.

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

/// A language the sandbox can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Language {
    /// C++17, compiled by g++ inside the walls.
    Cpp17,
    /// CPython 3, a fresh interpreter and a real `__main__` per run.
    Python3,
    /// A WebAssembly module with WASI preview 1, run by wasmtime.
    Wasm,
}

impl Language {
    /// All languages, in the order they are listed to people.
    pub const ALL: [Language; 3] = [Language::Python3, Language::Cpp17, Language::Wasm];

    /// The name used on the command line, in records and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Language::Cpp17 => "cpp17",
            Language::Python3 => "python3",
            Language::Wasm => "wasm",
        }
    }

    /// Reads a name people use: `python3`, `python`, `py`, `cpp17`, `cpp`, `c++`, `c++17`, `wasm`.
    pub fn from_name(name: &str) -> Option<Language> {
        match name.to_ascii_lowercase().as_str() {
            "python3" | "python" | "py" | "cpython" => Some(Language::Python3),
            "cpp17" | "cpp" | "c++" | "c++17" | "cc" | "cxx" => Some(Language::Cpp17),
            "wasm" | "wat" | "wasm32-wasi" => Some(Language::Wasm),
            _ => None,
        }
    }
}
