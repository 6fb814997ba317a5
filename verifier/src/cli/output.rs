//! Where text goes: results to stdout, everything else to stderr; and how tables look.
//!
//! Rust's `println!` panics when the reader left (`assay ... | head`) and forgets errors found at exit (a
//! full disk). These functions take the first for what it is, the wish to see no more, and report the second.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::CliError;

/// Writes to stdout and flushes. A reader that left is no error.
pub(crate) fn print(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(stdout_failed(&error)),
        _ => Ok(()),
    }
}

/// Writes the one JSON value of `--json`.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| CliError::failure(format!("cannot write the result as JSON: {error}")))?;
    text.push(b'\n');
    print(&text)
}

/// One line on stderr, with the program's name before it. Nothing can be done when stderr is gone.
pub(crate) fn log(line: &str) {
    log_raw(format!("assay: {line}\n"));
}

/// Bytes of a program, or text of several lines, on stderr as they are.
pub(crate) fn log_raw(text: impl AsRef<[u8]>) {
    let _ = io::stderr().lock().write_all(text.as_ref());
}

/// A table for people: columns as wide as their widest cell, numbers to the right, no rule but the header's.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = header.len();
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..columns)
        .map(|c| rows.iter().map(|row| width(&row[c])).chain([width(header[c])]).max().unwrap_or(0))
        .collect();
    let numeric: Vec<bool> =
        (0..columns).map(|c| !rows.is_empty() && rows.iter().all(|row| looks_numeric(&row[c]))).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (c, cell) in cells.enumerate() {
            let padding = " ".repeat(widths[c] - width(cell));
            let (before, after) = if numeric[c] { (&*padding, "") } else { ("", &*padding) };
            text.push_str(&format!("{before}{cell}{after}  "));
        }
        format!("{}\n", text.trim_end())
    };
    let mut text = line(&mut header.iter().copied());
    let rules: Vec<String> = widths.iter().map(|&w| "-".repeat(w)).collect();
    text.push_str(&line(&mut rules.iter().map(String::as_str)));
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// Standard output cannot be written.
pub(crate) fn stdout_failed(error: &io::Error) -> CliError {
    let advice = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free some space or write elsewhere",
        _ => "",
    };
    CliError::failure(format!("cannot write the result to standard output: {}{advice}", super::reason(error)))
}

fn looks_numeric(cell: &str) -> bool {
    cell.starts_with(|c: char| c.is_ascii_digit() || c == '-') && cell.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn tables_align_words_left_and_numbers_right() {
        let rows =
            [vec!["accepted".into(), "412".into()], vec!["wrong".into(), "7".into()]].map(Vec::from).to_vec();
        assert_eq!(
            table(&["verdict", "n"], &rows),
            "verdict     n\n--------  ---\naccepted  412\nwrong       7\n"
        );
    }
}
