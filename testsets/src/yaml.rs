//! The little of YAML that problem packages are written in: keys, keys below keys by indentation, and plain or quoted text.
//! What else a file holds (lists, blocks of text, values in braces) is stepped over, and an error only where it is asked
//! for. One pass, no recursion, nothing is expanded.

use crate::error::{Misfit, clip};

/// Deepest indentation of keys.
const MAX_DEPTH: usize = 16;

/// The keys of one file: `limits.memory` stands below `limits`.
#[derive(Debug)]
pub(crate) struct Yaml(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    path: String,
    line: u64,
    /// `None` for what is neither text nor empty.
    text: Option<String>,
}

impl Yaml {
    /// Reads a file; an error comes with its line, from 1.
    pub(crate) fn parse(text: &str) -> Result<Yaml, (u64, Misfit)> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut open: Vec<(usize, String)> = Vec::new();
        // What is deeper than this is no key of ours: a list's item, or a block of text.
        let mut skipped: Option<usize> = None;
        for (line, row) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let body = row.trim_start_matches(' ');
            let indent = row.len() - body.len();
            let ignored = body.trim().is_empty()
                || body.starts_with(['#', '%'])
                || ["---", "..."].contains(&body.trim());
            if ignored || skipped.is_some_and(|than| indent > than) {
                continue;
            }
            skipped = None;
            if body == "-" || body.starts_with("- ") {
                skipped = Some(indent);
                mark_other(&mut entries);
                continue;
            }
            while open.last().is_some_and(|(outer, _)| *outer >= indent) {
                open.pop();
            }
            let Some((key, value)) = key_and_value(body) else {
                // Text that goes on over several lines.
                if entries.is_empty() || indent == 0 {
                    let found = clip(body.trim());
                    return Err((line, Misfit::new("a line `key: value`", found, "correct that line")));
                }
                mark_other(&mut entries);
                continue;
            };
            if open.len() >= MAX_DEPTH {
                let hint = "write the keys less deep";
                return Err((line, Misfit::new(format!("keys at most {MAX_DEPTH} deep"), clip(key), hint)));
            }
            let path = open.last().map_or(key.to_owned(), |(_, outer)| format!("{outer}.{key}"));
            if value.starts_with(['|', '>']) {
                skipped = Some(indent);
            }
            entries.push(Entry { path: path.clone(), line, text: plain(value) });
            open.push((indent, path));
        }
        Ok(Yaml(entries))
    }

    /// The text under a path; `None` where it is absent or empty.
    pub(crate) fn text(&self, path: &str) -> Result<Option<&str>, (u64, Misfit)> {
        let mut found = self.0.iter().filter(|entry| entry.path == path);
        let Some(entry) = found.next() else { return Ok(None) };
        if let Some(again) = found.next() {
            let what = format!("{} again, first at line {}", clip(path), entry.line);
            return Err((again.line, Misfit::new("each key once", what, "remove one")));
        }
        match &entry.text {
            Some(text) if text.is_empty() || text == "null" || text == "~" => Ok(None),
            Some(text) => Ok(Some(text)),
            None => Err((entry.line, other(path))),
        }
    }

    /// The line of a path, for errors about what it says.
    pub(crate) fn line(&self, path: &str) -> u64 {
        self.0.iter().find(|entry| entry.path == path).map_or(1, |entry| entry.line)
    }

    /// A finite number under a path.
    pub(crate) fn number(&self, path: &str) -> Result<Option<f64>, (u64, Misfit)> {
        let Some(text) = self.text(path)? else { return Ok(None) };
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => {
                let misfit =
                    Misfit::new(format!("`{path}` to be a number"), clip(text), "correct that value");
                Err((self.line(path), misfit))
            }
        }
    }
}

fn other(path: &str) -> Misfit {
    Misfit::new(
        format!("`{path}` to be text or a number on its own line"),
        "a list, a block or braces",
        "write `key: value`, and keys below keys on lines of their own",
    )
}

fn mark_other(entries: &mut [Entry]) {
    if let Some(last) = entries.last_mut() {
        last.text = None;
    }
}

fn key_and_value(body: &str) -> Option<(&str, &str)> {
    let (key, value) = body.split_once(':')?;
    let key = key.trim_end().trim_matches(['"', '\'']);
    let apart = value.is_empty() || value.starts_with([' ', '\t', '\r']);
    (apart && !key.is_empty()).then_some((key, value.trim()))
}

/// Plain or quoted text, without the remark behind it.
fn plain(value: &str) -> Option<String> {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            let (text, behind) = rest.split_once(quote)?;
            let alone = behind.trim().is_empty() || behind.trim_start().starts_with('#');
            return (alone && !text.contains('\\')).then(|| text.to_owned());
        }
    }
    if value.starts_with(['|', '>', '{', '[', '&', '*', '!']) {
        return None;
    }
    let text = if value.starts_with('#') { "" } else { value.split(" #").next().unwrap_or_default() };
    Some(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
---
name: 'Two # sums'   # a remark
author:
  - A
  - name: B
    mail: c
keywords:
- x
limits:
  memory: 512  # MiB
  time_limit: 1.5
validator_flags: float_tolerance 1e-6
text: |
  memory: 3
  : :
long: this goes
  on here
braces: {a: 1}
empty:
source: https://example.org/a
";

    #[test]
    fn keys_and_texts() {
        let yaml = Yaml::parse(FILE).unwrap();
        let rows = [
            ("name", Some("Two # sums")),
            ("limits.memory", Some("512")),
            ("limits.time_limit", Some("1.5")),
            ("validator_flags", Some("float_tolerance 1e-6")),
            ("source", Some("https://example.org/a")),
            ("empty", None),
            ("memory", None),
            ("mail", None),
        ];
        for (path, text) in rows {
            assert_eq!(yaml.text(path), Ok(text), "{path}");
        }
        assert_eq!(yaml.number("limits.memory"), Ok(Some(512.0)));
        for path in ["author", "keywords", "text", "long", "braces"] {
            assert!(yaml.text(path).is_err(), "{path}");
        }
        assert_eq!(yaml.number("name").unwrap_err().0, 2);
    }

    #[test]
    fn bad_files_are_named() {
        let twice = Yaml::parse("a: 1\na: 2\n").unwrap();
        assert_eq!(twice.text("a").unwrap_err().0, 2);
        let (line, misfit) = Yaml::parse("a: 1\nwords\n").unwrap_err();
        assert_eq!((line, misfit.found.as_str()), (2, "`words`"));
        let deep: String = (0..40).map(|depth| format!("{}k:\n", " ".repeat(depth))).collect();
        assert_eq!(Yaml::parse(&deep).unwrap_err().0, 17);
    }
}
