//! Suites: data, in the TOML file beside this one.

use std::collections::BTreeMap;

use assay_testsets::Format;
use assay_verifier::Profile;
use assay_verifier::window::Window;
use serde::Deserialize;

const SUITES: &str = include_str!("suites.toml");

/// How a benchmark is sampled; see `suites.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Suite {
    #[serde(skip)]
    pub(super) name: String,
    pub(super) about: String,
    columns: Vec<String>,
    format: String,
    profile: Option<String>,
    pub(super) problems: usize,
    window: Option<String>,
    pub(super) template: String,
    pub(super) samples: u32,
}

impl Suite {
    /// Reads `--suite`.
    pub(super) fn from_name(name: &str) -> Result<Suite, String> {
        let mut all = suites();
        let names = all.keys().cloned().collect::<Vec<_>>().join(", ");
        let suite = all.remove(name).ok_or_else(|| format!("the suites are {names}"))?;
        Ok(Suite { name: name.to_owned(), ..suite })
    }

    pub(super) fn format(&self) -> Option<Format> {
        Format::from_name(&self.format)
    }

    pub(super) fn profile(&self) -> Profile {
        self.profile.as_deref().and_then(Profile::from_name).unwrap_or_default()
    }

    /// Which of the file's problems are meant.
    pub(super) fn window(&self) -> Window {
        self.window.as_deref().and_then(|name| Window::named(name).ok()).unwrap_or_default()
    }

    /// What is odd about a file with so many problems in the suite's window.
    pub(super) fn warning(&self, problems: usize) -> Option<String> {
        (problems != self.problems).then(|| {
            format!(
                "suite {} ({}) has {} problems, this file {problems}; the figures are not comparable (columns: {})",
                self.name,
                self.about,
                self.problems,
                self.columns.join(", ")
            )
        })
    }
}

fn suites() -> BTreeMap<String, Suite> {
    toml::from_str(SUITES).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use assay_verifier::template::Template;

    use super::*;

    /// The data are read at run time, where an error could not be said.
    #[test]
    fn suites_are_whole() {
        let suites: BTreeMap<String, Suite> = toml::from_str(SUITES).expect("suites.toml");
        for (name, suite) in suites {
            Template::from_name(&suite.template).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(suite.format().is_some(), "{name}: format");
            assert!(suite.window.as_deref().is_none_or(|w| Window::named(w).is_ok()), "{name}: window");
            assert!(
                suite.profile.as_deref().is_none_or(|p| Profile::from_name(p).is_some()),
                "{name}: profile"
            );
            let expected = match name.as_str() {
                "math500" | "humaneval-plus" | "mbpp-plus" => 4,
                "lcb-v5" | "lcb-v6" => 8,
                _ => 64,
            };
            assert_eq!(suite.samples, expected, "{name}");
        }
    }
}
