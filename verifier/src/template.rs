//! How a problem becomes a prompt: forms with a name each, as data in `template/templates.toml`.

use std::collections::BTreeMap;
use std::fmt;

use assay_testsets::{Problem, Task};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const TEMPLATES: &str = include_str!("template/templates.toml");

/// A form that asks for an answer; written and read by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    name: String,
    form: Form,
}

/// One entry of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    system: Option<String>,
    user: String,
    starter_user: Option<String>,
    text: String,
}

impl Template {
    /// The template of a name.
    ///
    /// # Errors
    /// There is none; the message lists those that there are.
    pub fn from_name(name: &str) -> Result<Template, String> {
        let mut all = forms();
        let names = all.keys().cloned().collect::<Vec<_>>().join(", ");
        let form = all.remove(name).ok_or_else(|| format!("the templates are {names}"))?;
        Ok(Template { name: name.to_owned(), form })
    }

    /// The template where none is named.
    pub fn usual(problem: &Problem) -> &'static str {
        match &problem.task {
            Task::Code(_) => "lcb",
            Task::Math(_) => "acereason-math",
        }
    }

    /// What of the template decides the completions.
    pub fn conditions(&self) -> Value {
        let Form { system, user, starter_user, text } = &self.form;
        json!({ "name": self.name, "system": system, "user": user, "starter_user": starter_user, "text": text })
    }

    /// The system message, where it has one.
    pub fn system(&self) -> Option<&str> {
        self.form.system.as_deref()
    }

    /// Whether it shows a function's header that the answer must have.
    pub fn shows_starter(&self) -> bool {
        self.form.starter_user.is_some()
    }

    /// For a chat server: `[{role, content}]`.
    pub fn messages(&self, problem: &Problem) -> Value {
        let system = self.system().map(|text| json!({ "role": "system", "content": text }));
        let user = json!({ "role": "user", "content": self.user(problem) });
        system.into_iter().chain([user]).collect()
    }

    /// For what continues text.
    pub fn text(&self, problem: &Problem) -> String {
        let system = self.system().unwrap_or_default();
        fill(&self.form.text, &[("{system}", system), ("{user}", &self.user(problem))])
    }

    /// What the user says.
    pub fn user(&self, problem: &Problem) -> String {
        let starter = starter(problem);
        let form = match &self.form.starter_user {
            Some(form) if !starter.trim().is_empty() => form,
            _ => &self.form.user,
        };
        fill(form, &[("{prompt}", &problem.prompt), ("{starter}", starter)])
    }
}

/// `plain`: the problem's text and nothing else.
impl Default for Template {
    fn default() -> Template {
        let (user, text) = ("{prompt}".to_owned(), "{user}".to_owned());
        Template { name: "plain".to_owned(), form: Form { system: None, user, starter_user: None, text } }
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(name: String) -> Result<Template, String> {
        Template::from_name(&name)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> String {
        template.name
    }
}

impl fmt::Display for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)
    }
}

/// The header that a problem's answer must have; empty where there is none.
pub fn starter(problem: &Problem) -> &str {
    match &problem.task {
        Task::Code(task) => &task.starter_code,
        Task::Math(_) => "",
    }
}

fn forms() -> BTreeMap<String, Form> {
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
    fn templates_are_whole() {
        toml::from_str::<BTreeMap<String, Form>>(TEMPLATES).expect("templates.toml");
        assert_eq!(Template::from_name("plain").expect("it is there"), Template::default());
        let named = Template::from_name("lcb").expect("it is there");
        assert_eq!(serde_json::to_value(&named).expect("a name"), json!("lcb"));
        assert_eq!(serde_json::from_value::<Template>(json!("lcb")).expect("a name"), named);
        assert!(Template::from_name("mine").expect_err("none").contains("acereason-math"));
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
        let plain = Template::default();
        assert_eq!(
            (plain.text(&problem("")).as_str(), plain.shows_starter()),
            ("Say {starter} and {user}.", false)
        );
    }
}
