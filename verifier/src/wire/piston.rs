//! Piston's `/api/v2/execute` and `/api/v2/runtimes`, for open-r1's client and others.
//!
//! In: `language`, `version` (a selector such as `*`, `3.x` or `3.11`), `files` (the first is the program; `encoding` utf8,
//! base64 or hex), `stdin`, `args`, `compile_timeout` and `run_timeout` in milliseconds (10,000 and 3,000), their
//! `_cpu_time`, `compile_memory_limit` and `run_memory_limit` in bytes (-1: the service's default). Out: `run` and, for
//! compiled languages, `compile`; after a refusal `run` is a copy of `compile`, as in the original.
//!
//! `cf_python3` and `c++17` are open-r1's packages for Codeforces problems: `main.*`, `input.txt`, `correct_output.txt`,
//! `grader_config` (`TIME_LIMIT` in seconds, `MEMORY_LIMIT` in megabytes, `INPUT_MODE`) and perhaps `checker.py`. There the
//! program never sees the right output: it is run on the input, then its output is compared or checked outside. `run.stdout`
//! is then `1` or `0`, and `compile` is always there, because the client reads it unasked.
//!
//! More files lie in the program's directory when it runs, not when it is compiled. Left out: `/packages` and the WebSocket. Errors are `{"message"}`. The client waits 30 s
//! for an answer and repeats everything that is not 200. Source: the notes on Piston's `api/v2.js` and open-r1's client.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long the client waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The body of `/api/v2/execute`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "PistonExecuteRequest")]
pub(crate) struct ExecuteRequest {
    pub(crate) language: String,
    pub(crate) version: String,
    pub(crate) files: Vec<File>,
    pub(crate) stdin: Option<String>,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    pub(crate) compile_timeout: Option<f64>,
    pub(crate) run_timeout: Option<f64>,
    pub(crate) compile_cpu_time: Option<f64>,
    pub(crate) run_cpu_time: Option<f64>,
    pub(crate) run_memory_limit: Option<i64>,
}

/// One file.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "PistonFile")]
pub(crate) struct File {
    pub(crate) name: Option<String>,
    content: String,
    encoding: Option<String>,
}

/// The reply.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PistonExecuteResponse")]
pub(crate) struct ExecuteResponse {
    pub(crate) language: String,
    pub(crate) version: String,
    pub(crate) run: Stage,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compile: Option<Stage>,
}

/// What became of the compiler or of the program.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[schemars(rename = "PistonStage")]
pub(crate) struct Stage {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) output: String,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) status: Option<&'static str>,
    /// Milliseconds.
    pub(crate) cpu_time: u64,
    /// Milliseconds.
    pub(crate) wall_time: u64,
    /// Bytes.
    pub(crate) memory: u64,
}

/// One entry of `/api/v2/runtimes`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PistonRuntime")]
pub(crate) struct Runtime {
    pub(crate) language: &'static str,
    pub(crate) version: String,
    pub(crate) aliases: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtime: Option<&'static str>,
}

/// A language of the original that is here: its name, its aliases, its runtime, ours.
pub(crate) type Row = (&'static str, &'static [&'static str], Option<&'static str>, &'static str);

/// The languages.
pub(crate) const RUNTIMES: [Row; 9] = [
    ("python", &["py", "py3", "python3", "python3.11"], None, "python3"),
    ("c++", &["cpp", "g++"], Some("gcc"), "cpp17"),
    ("javascript", &["node-javascript", "node-js", "js", "nodejs"], Some("node"), "javascript"),
    ("typescript", &["ts", "node-ts", "tsc"], None, "typescript"),
    ("java", &[], None, "java"),
    ("go", &["golang"], None, "go"),
    ("rust", &["rs"], None, "rust"),
    (CF_PYTHON, &[], None, "python3"),
    (CF_CPP, &[], None, "cpp17"),
];

/// open-r1's packages.
const CF_PYTHON: &str = "cf_python3";
const CF_CPP: &str = "c++17";

/// Whether a runtime grades a Codeforces test rather than running a program.
pub(crate) fn grades(language: &str) -> bool {
    [CF_PYTHON, CF_CPP].contains(&language)
}

/// The first number in what a tool says of itself, such as `12.2.0` of `g++ 12.2.0`.
pub(crate) fn number(version: &str) -> &str {
    let start = version.find(|c: char| c.is_ascii_digit()).unwrap_or(version.len());
    let rest = &version[start..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].trim_end_matches('.')
}

/// Whether a version is one that the selector means: `*`, or the same numbers as far as it goes (`3`, `3.x`, `^3.11`).
pub(crate) fn selects(selector: &str, version: &str) -> bool {
    let selector = selector.trim().trim_start_matches(['^', '~', '=', 'v', '>']);
    let mut have = version.split('.');
    selector.split('.').all(|want| match have.next() {
        Some(have) => ["*", "x", "X", ""].contains(&want) || want == have,
        None => want.parse::<u64>().is_ok_and(|want| want == 0) || ["*", "x", "X"].contains(&want),
    })
}

impl File {
    /// Its bytes; the error says what is wrong with them.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, String> {
        match self.encoding.as_deref() {
            None | Some("utf8") => Ok(self.content.clone().into_bytes()),
            Some("base64") => STANDARD
                .decode(&self.content)
                .map_err(|error| format!("files.content is not base64: {error}")),
            Some("hex") => hex(&self.content).ok_or_else(|| "files.content is not hex".to_owned()),
            Some(other) => Err(format!("files.encoding must be utf8, base64 or hex, not {other:?}")),
        }
    }

    /// Its text.
    pub(crate) fn text(&self) -> Result<String, String> {
        String::from_utf8(self.bytes()?).map_err(|error| format!("files.content is not UTF-8: {error}"))
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// What `grader_config` says.
#[derive(Debug, PartialEq)]
pub(crate) struct GraderConfig {
    /// Seconds.
    pub(crate) time_limit: f64,
    /// Megabytes.
    pub(crate) memory_limit: i64,
}

impl GraderConfig {
    /// Reads lines of `KEY=value`; the error says which is wrong.
    pub(crate) fn read(text: &str) -> Result<GraderConfig, String> {
        let find = |key: &str| text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        let number = |key: &str| {
            let value = find(key).ok_or_else(|| format!("grader_config has no {key}"))?;
            value
                .trim()
                .parse::<f64>()
                .map_err(|_| format!("{key} in grader_config is {value:?}, not a number"))
        };
        if let Some(mode) = find("INPUT_MODE").map(str::trim)
            && !["stdio", "", "None"].contains(&mode)
        {
            return Err(format!("INPUT_MODE is {mode:?}; only stdio is supported here"));
        }
        Ok(GraderConfig { time_limit: number("TIME_LIMIT")?, memory_limit: number("MEMORY_LIMIT")? as i64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_means_the_versions_that_begin_like_it() {
        let yes =
            [("*", "3.11.7"), ("3", "3.11.7"), ("3.x", "3.11.7"), ("^3.11", "3.11.7"), ("3.11.7", "3.11.7")];
        let no = [("2", "3.11.7"), ("3.1", "3.11.7"), ("3.11.7.1", "3.11.7"), ("latest", "3.11.7")];
        for (selector, version) in yes {
            assert!(selects(selector, version), "{selector}");
        }
        for (selector, version) in no {
            assert!(!selects(selector, version), "{selector}");
        }
        assert_eq!(number("g++ (Debian) 12.2.0-14"), "12.2.0");
        assert_eq!(number("v18.1"), "18.1");
        assert_eq!(number("none"), "");
    }

    #[test]
    fn a_grader_config_is_read_or_named() {
        let read = GraderConfig::read("TIME_LIMIT=2.5\nMEMORY_LIMIT=256.0\nINPUT_MODE=stdio");
        assert_eq!(read, Ok(GraderConfig { time_limit: 2.5, memory_limit: 256 }));
        for (text, named) in [
            ("MEMORY_LIMIT=1", "TIME_LIMIT"),
            ("TIME_LIMIT=fast\nMEMORY_LIMIT=1", "fast"),
            ("TIME_LIMIT=1\nMEMORY_LIMIT=1\nINPUT_MODE=file", "INPUT_MODE"),
        ] {
            assert!(GraderConfig::read(text).unwrap_err().contains(named), "{text}");
        }
    }

    #[test]
    fn files_are_decoded() {
        let file = |encoding: &str, content: &str| File {
            name: None,
            content: content.into(),
            encoding: Some(encoding.into()),
        };
        for file in [file("utf8", "ab"), file("base64", "YWI="), file("hex", "6162")] {
            assert_eq!(file.bytes().unwrap(), b"ab");
        }
        for file in [file("base64", "*"), file("hex", "6"), file("hex", "zz"), file("rot13", "no")] {
            assert!(file.bytes().is_err(), "{file:?}");
        }
    }
}
