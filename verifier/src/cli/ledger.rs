//! Files of results: rows a line, written whole, read back up to the last whole line.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::CliError;

/// The rows of a file; half a line at its end, where a run was killed, does not count.
pub(crate) fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, CliError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| CliError::read("the results", path, &error))?,
    };
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let lines = bytes[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let parse = |(index, line): (usize, &[u8])| {
        serde_json::from_slice(line).map_err(|error| {
            let line = index + 1;
            let path = path.display();
            CliError::usage(format!("{path}: line {line} is no row of results: {error}; use a new --out"))
        })
    };
    lines.enumerate().map(parse).collect()
}

/// Writes rows, a line each.
pub(crate) fn rewrite<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), CliError> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, row).map_err(|error| CliError::failure(error.to_string()))?;
        text.push(b'\n');
    }
    replace(path, &text)
}

/// Writes a file whole or not at all.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    let written = File::create(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&draft, path)
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&draft);
        CliError::write("the results", path, &error)
    })
}

/// Writes one JSON value.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), CliError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| CliError::failure(error.to_string()))?;
    text.push(b'\n');
    replace(path, &text)
}
