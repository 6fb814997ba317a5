//! Suites and prompt templates: data, in the two TOML files beside this one.

use std::collections::BTreeMap;

use assay_testsets::{Format, Problem, Task};
use assay_verifier::Profile;
use assay_verifier::window::Window;
use serde::Deserialize;
use serde_json::{Value, json};

const SUITES: &str = include_str!("suites.toml");
const TEMPLATES: &str = include_str!("templates.toml");

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

/// How a problem becomes a prompt; see `templates.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Template {
    #[serde(skip)]
    name: String,
    system: Option<String>,
    user: String,
    starter_user: Option<String>,
    text: String,
}

impl Template {
    /// Reads `--template`.
    pub(super) fn from_name(name: &str) -> Result<Template, String> {
        let mut all = templates();
        let names = all.keys().cloned().collect::<Vec<_>>().join(", ");
        let template = all.remove(name).ok_or_else(|| format!("the templates are {names}"))?;
        Ok(Template { name: name.to_owned(), ..template })
    }

    /// The template where neither flag nor suite names one.
    pub(super) fn usual(problem: &Problem) -> &'static str {
        match &problem.task {
            Task::Code(_) => "lcb",
            Task::Math(_) => "acereason-math",
        }
    }

    /// What of the template decides the completions.
    pub(super) fn conditions(&self) -> Value {
        json!({ "name": self.name, "system": self.system, "user": self.user, "starter_user": self.starter_user,
                "text": self.text })
    }

    /// For a chat server: `[{role, content}]`.
    pub(super) fn messages(&self, problem: &Problem) -> Value {
        let system = self.system.iter().map(|text| json!({ "role": "system", "content": text }));
        let user = json!({ "role": "user", "content": self.user(problem) });
        system.chain([user]).collect()
    }

    /// For a server that continues text.
    pub(super) fn text(&self, problem: &Problem) -> String {
        let system = self.system.as_deref().unwrap_or_default();
        fill(&self.text, &[("{system}", system), ("{user}", &self.user(problem))])
    }

    fn user(&self, problem: &Problem) -> String {
        let starter = match &problem.task {
            Task::Code(task) => task.starter_code.as_str(),
            Task::Math(_) => "",
        };
        let form = match &self.starter_user {
            Some(form) if !starter.trim().is_empty() => form,
            _ => &self.user,
        };
        fill(form, &[("{prompt}", &problem.prompt), ("{starter}", starter)])
    }
}

fn templates() -> BTreeMap<String, Template> {
    toml::from_str(TEMPLATES).unwrap_or_default()
}

/// The form with its names replaced, in one pass: a problem that says `{starter}` itself keeps it.
fn fill(form: &str, values: &[(&str, &str)]) -> String {
    let (mut text, mut rest) = (String::new(), form);
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        match values.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                text.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                text.push('{');
                rest = &rest[1..];
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data are read at run time, where an error could not be said.
    #[test]
    fn suites_and_templates_are_whole() {
        let suites: BTreeMap<String, Suite> = toml::from_str(SUITES).expect("suites.toml");
        toml::from_str::<BTreeMap<String, Template>>(TEMPLATES).expect("templates.toml");
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

    #[test]
    fn prompts_are_filled_in_once() {
        let problem = |starter: &str| {
            let row = json!({"question_id": "p", "prompt": "Say {starter} and {user}.", "task": {"type": "code",
                "func_name": "f", "starter_code": starter, "test_cases": [{"input": "1", "output": "1"}]}});
            Problem::from_json(&row.to_string()).expect("a problem")
        };
        let template = Template::from_name("lcb").expect("it is there");
        let with = template.user(&problem("def f(x):"));
        assert!(
            with.contains("Say {starter} and {user}.") && with.contains("```python\ndef f(x):\n```"),
            "{with}"
        );
        let without = template.user(&problem(""));
        assert!(without.contains("stdin") && !without.contains("starter code"), "{without}");
        let text = template.text(&problem(""));
        assert!(
            text.starts_with("<|im_start|>system\nYou are") && text.contains("Say {starter} and {user}."),
            "{text}"
        );
        let messages = template.messages(&problem(""));
        assert_eq!((&messages[0]["role"], &messages[1]["content"]), (&json!("system"), &json!(without)));
        let math = Template::from_name("acereason-math").expect("it is there");
        assert!(math.user(&problem("")).ends_with("inside \\boxed{}."));
    }
}
