//! The members of one JSON object, each still as text.
//!
//! Loaders read fields by name and say precisely which one did not fit. Values stay raw until asked for: a
//! megabyte of tests is not parsed twice, and a number keeps the digits it was written with (a gold of
//! `0.50` or of thirty digits must not pass through a double).

use crate::error::{Misfit, clip};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// One JSON object: names and raw values, in file order.
#[derive(Debug)]
pub(crate) struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Reads an object. `what` names it in the error, as in "a LiveCodeBench record".
    pub(crate) fn parse(text: &'a [u8], what: &str) -> Result<Fields<'a>, Misfit> {
        let hint = "write one JSON object there";
        let text = std::str::from_utf8(text).map_err(|error| {
            Misfit::new(format!("{what} in UTF-8"), error.to_string(), "convert the file to UTF-8")
        })?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let fields = reader
            .deserialize_map(ObjectVisitor)
            .and_then(|fields| reader.end().map(|()| fields))
            .map_err(|error| Misfit::new(what, format!("{} ({error})", clip(text)), hint))?;
        let mut seen = HashSet::new();
        for (name, _) in &fields {
            if !seen.insert(name) {
                return Err(Misfit::new(
                    format!("each key once in {what}"),
                    format!("{} twice", clip(name)),
                    "remove one",
                ));
            }
        }
        Ok(Fields(fields))
    }

    /// The raw value of a field; `null` counts as absent.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, raw)| raw.get()).filter(|raw| *raw != "null")
    }

    /// The first of several spellings that is present.
    pub(crate) fn first<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &'a str)> {
        names.iter().find_map(|name| self.raw(name).map(|raw| (*name, raw)))
    }

    /// Whether a field is present and not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The field names, for messages.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// A string that must be there.
    pub(crate) fn string(&self, name: &str) -> Result<String, Misfit> {
        self.optional_string(name)?.ok_or_else(|| self.missing(&format!("a string `{name}`")))
    }

    /// A string that may be absent.
    pub(crate) fn optional_string(&self, name: &str) -> Result<Option<String>, Misfit> {
        self.raw(name).map(|raw| read(raw, name, "a string")).transpose()
    }

    /// An identifier: a string, or an integer taken by its digits.
    pub(crate) fn id(&self, names: &[&str]) -> Result<Option<String>, Misfit> {
        let Some((name, raw)) = self.first(names) else { return Ok(None) };
        let digits = raw.strip_prefix('-').unwrap_or(raw);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Some(raw.to_owned()));
        }
        read(raw, name, "a string or an integer").map(Some)
    }

    /// Refuses names outside `known`: a mistyped key must not silently mean its default.
    pub(crate) fn only(&self, known: &[&str], what: &str) -> Result<(), Misfit> {
        match self.names().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => Err(Misfit::new(
                format!("only the keys {} in {what}", known.join(", ")),
                clip(name),
                "correct or remove that key",
            )),
        }
    }

    /// The error for a field that is not there.
    pub(crate) fn missing(&self, expected: &str) -> Misfit {
        let names: Vec<&str> = self.names().take(12).collect();
        Misfit::new(
            expected,
            format!("the keys {}", clip(&names.join(", "))),
            "add it, or name the format the file really has",
        )
    }
}

/// Parses one raw value as a `T`.
pub(crate) fn read<'a, T: Deserialize<'a>>(raw: &'a str, name: &str, expected: &str) -> Result<T, Misfit> {
    serde_json::from_str(raw).map_err(|error| {
        Misfit::new(
            format!("`{name}` to be {expected}"),
            format!("{} ({error})", clip(raw)),
            "correct that value",
        )
    })
}

/// A string, held a second time only if something in it is escaped.
pub(crate) fn borrowed<'a>(raw: &'a str, name: &str, expected: &str) -> Result<Cow<'a, str>, Misfit> {
    match serde_json::from_str(raw) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) => read(raw, name, expected).map(Cow::Owned),
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(fields)
    }
}
