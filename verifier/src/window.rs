//! Windows of contest dates: which problems a figure is about. The named ones are data, in `window.toml`.

use std::sync::LazyLock;

use assay_testsets::Problem;
use serde::{Deserialize, Serialize};

use crate::metrics::in_window;

/// Which problems are asked, by the date of their contest. The default asks all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// What the window is called, where it has a name.
    pub name: Option<String>,
    /// The first moment, an ISO date, maybe with a time; inclusive.
    pub from: Option<String>,
    /// The last moment, likewise.
    pub to: Option<String>,
    /// How many problems those who named the window count in it.
    pub problems: Option<usize>,
}

impl Window {
    /// Finds a window by name: `lcb-v5` and `lcb-v6`.
    ///
    /// # Errors
    /// The names there are.
    pub fn named(name: &str) -> Result<Window, String> {
        let found = DATA.window.iter().find(|window| window.name.as_deref() == Some(name)).cloned();
        found.ok_or_else(|| {
            format!("the windows are {}", names(&DATA.window, |window| window.name.as_deref()))
        })
    }

    /// The dates of a LiveCodeBench release, such as `v5`, or of what several releases added, such as `v4_v5`;
    /// `release_v5` and `release_latest` are understood too.
    ///
    /// # Errors
    /// The names there are.
    pub fn release(name: &str) -> Result<Window, String> {
        let short = name.strip_prefix("release_").unwrap_or(name);
        let place = |name: &str| DATA.release.iter().position(|release| release.name == name);
        let (from, to) = match short.split_once('_') {
            _ if short == "latest" => (None, DATA.release.len().checked_sub(1)),
            Some((from, to)) => {
                (place(from), place(to).filter(|to| place(from).is_some_and(|from| from <= *to)))
            }
            None => (None, place(short)),
        };
        let Some(to) = to else {
            let names = names(&DATA.release, |release| Some(&release.name));
            return Err(format!("the releases are {names}, and what several added as v4_v5"));
        };
        let before =
            from.and_then(|from| from.checked_sub(1)).map_or(0, |before| DATA.release[before].problems);
        Ok(Window {
            name: Some(format!("release_{short}")),
            from: from.and_then(|from| DATA.release[from].first.clone()),
            to: Some(DATA.release[to].to.clone()),
            problems: Some(DATA.release[to].problems - before),
        })
    }

    /// What is in both. The name and count of the narrower one are not known in general, so a window without a name
    /// takes them away, and of two named ones the second's count stands.
    #[must_use]
    pub fn and(self, other: Window) -> Window {
        if self == Window::default() {
            return other;
        }
        if other == Window::default() {
            return self;
        }
        let later = |a: Option<String>, b: Option<String>| match (a, b) {
            (Some(a), Some(b)) => Some(if full(&a) < full(&b) { b } else { a }),
            (a, b) => a.or(b),
        };
        let sooner = |a: Option<String>, b: Option<String>| match (a, b) {
            (Some(a), Some(b)) => Some(if full(&b) < full(&a) { b } else { a }),
            (a, b) => a.or(b),
        };
        let name = self.name.zip(other.name.clone()).map(|(a, b)| format!("{b} of {a}"));
        Window {
            problems: other.problems.filter(|_| name.is_some()),
            name,
            from: later(self.from, other.from),
            to: sooner(self.to, other.to),
        }
    }

    /// Whether a problem of a contest of this date is asked. Without bounds all are, dated or not.
    pub fn holds(&self, date: Option<&str>) -> bool {
        in_window(date, self.from.as_deref(), self.to.as_deref())
    }

    /// Whether this problem is asked.
    pub fn asks(&self, problem: &Problem) -> bool {
        self.holds(problem.contest_date.as_deref())
    }

    /// What to say where the problems at hand are not as many as the window has where it comes from.
    pub fn warning(&self, found: usize) -> Option<String> {
        let (name, expected) = (self.name.as_deref()?, self.problems?);
        (found != expected).then(|| {
            format!(
                "{name} has {expected} problems where it was published, and {found} here: figures are not comparable \
                 with published ones"
            )
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    window: Vec<Window>,
    release: Vec<Release>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    name: String,
    first: Option<String>,
    to: String,
    problems: usize,
}

static DATA: LazyLock<Data> =
    LazyLock::new(|| toml::from_str(include_str!("window.toml")).expect("window.toml, which a test reads"));

fn names<'a, T>(all: &'a [T], name: impl Fn(&'a T) -> Option<&'a str>) -> String {
    all.iter().filter_map(name).collect::<Vec<_>>().join(", ")
}

/// A day alone is its midnight.
fn full(date: &str) -> String {
    if date.len() == 10 { format!("{date}T00:00:00") } else { date.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(window: &Window) -> (Option<&str>, Option<&str>, Option<usize>) {
        (window.from.as_deref(), window.to.as_deref(), window.problems)
    }

    #[test]
    fn windows_and_releases_are_found_by_name() {
        let v5 = Window::named("lcb-v5").expect("a window");
        assert_eq!(dates(&v5), (Some("2024-08-01"), Some("2025-02-01"), Some(279)));
        assert_eq!(Window::named("lcb-v7").expect_err("no such"), "the windows are lcb-v5, lcb-v6");
        let rows = [
            ("v1", None, "2024-03-31T23:59:59", 400),
            ("release_v5", None, "2025-01-31T23:59:59", 880),
            ("release_latest", None, "2025-04-30T23:59:59", 1055),
            ("v4_v5", Some("2024-08-01"), "2025-01-31T23:59:59", 880 - 612),
            ("v6_v6", Some("2025-02-01"), "2025-04-30T23:59:59", 175),
            ("v1_v2", None, "2024-05-31T23:59:59", 511),
        ];
        for (name, from, to, problems) in rows {
            let window = Window::release(name).expect(name);
            assert_eq!(dates(&window), (from, Some(to), Some(problems)), "{name}");
        }
        for name in ["v0", "v5_v4", "v4_", "v9_v4", ""] {
            assert!(Window::release(name).expect_err(name).starts_with("the releases are v1, v2"), "{name}");
        }
    }

    #[test]
    fn windows_meet() {
        let (release, v5) = (Window::release("v5").expect("v5"), Window::named("lcb-v5").expect("a window"));
        let both = release.clone().and(v5.clone());
        assert_eq!(dates(&both), (Some("2024-08-01"), Some("2025-01-31T23:59:59"), Some(279)));
        assert_eq!(both.name.as_deref(), Some("lcb-v5 of release_v5"));
        let dated = v5.clone().and(Window { from: Some("2025-01-01".into()), ..Window::default() });
        assert_eq!(dates(&dated), (Some("2025-01-01"), Some("2025-02-01"), None));
        assert_eq!(Window::default().and(v5.clone()), v5);
        assert_eq!(v5.clone().and(Window::default()), v5);
        assert!(
            v5.holds(Some("2025-02-01T00:00:00"))
                && !v5.holds(Some("2025-02-01T18:30:00"))
                && !v5.holds(None)
        );
        assert!(Window::default().holds(None));
    }

    #[test]
    fn a_different_count_is_said() {
        let v5 = Window::named("lcb-v5").expect("a window");
        assert_eq!(v5.warning(279), None);
        let warning = v5.warning(12).expect("a warning");
        assert!(warning.contains("279") && warning.contains("12 here"), "{warning}");
        assert_eq!(Window::default().warning(12), None);
    }
}
