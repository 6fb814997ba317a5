//! Chat templates: how a conversation becomes the text a chat model was trained on.
//!
//! A template is a Jinja text that comes with the weights (`chat_template.jinja`, or the key `chat_template` of
//! `tokenizer_config.json`), so it is data from elsewhere: it is rendered with fuel, which bounds its steps and the memory
//! it takes, with bounded recursion, and without a way to read a file, the clock or the environment. It is given what
//! the field's own tools give it: `messages`, `add_generation_prompt`, the special tokens, `raise_exception`, and
//! `tojson` as Python writes JSON. Not given: `tools`, `documents`, and `strftime_now`, so that a prompt does not depend on
//! the day (templates that ask for it have a fixed date for those who lack it).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter};

use crate::error::{EngineError, Result};
use crate::tokenizer::Tokenizer;

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user` or `assistant`; a template may know others.
    pub role: String,
    /// What was said.
    pub content: String,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: &str, content: &str) -> Message {
        Message { role: role.to_owned(), content: content.to_owned() }
    }
}

/// Which template a model's prompts go through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Choice {
    /// The model's own; where it has none and its vocabulary has ChatML's two tokens, ChatML; else none.
    #[default]
    Auto,
    /// None: a prompt is the text itself, as a base model continues it.
    None,
    /// ChatML, Qwen's form, whatever the model brings.
    ChatMl,
    /// The template in this file.
    File(PathBuf),
}

impl TryFrom<String> for Choice {
    type Error = String;

    fn try_from(text: String) -> Result<Choice, String> {
        match text.as_str() {
            "auto" => Ok(Choice::Auto),
            "none" => Ok(Choice::None),
            "chatml" => Ok(Choice::ChatMl),
            path if path.ends_with(".jinja") => Ok(Choice::File(path.into())),
            other => Err(format!("expected auto, none, chatml or the path of a .jinja file, not {other:?}")),
        }
    }
}

impl From<Choice> for String {
    fn from(choice: Choice) -> String {
        match choice {
            Choice::Auto => "auto".to_owned(),
            Choice::None => "none".to_owned(),
            Choice::ChatMl => "chatml".to_owned(),
            Choice::File(path) => path.display().to_string(),
        }
    }
}

/// ChatML: each message between two special tokens, its role on the first line.
const CHATML: &str = "\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
";

/// Steps of a rendering, which also bound its memory to 64 bytes each. A message of 100 KB costs a few thousand.
const FUEL: u64 = 2_000_000;
/// Nested blocks, calls and macros.
const RECURSION: usize = 100;
/// Bytes of a template; those in use have a tenth.
const LONGEST: usize = 256 * 1024;

/// A template that was parsed, with the special tokens it may name.
#[derive(Debug, Clone)]
pub struct Template {
    environment: Arc<Environment<'static>>,
    tokens: Arc<BTreeMap<String, String>>,
    /// File the template came from, for messages.
    origin: PathBuf,
}

const NAME: &str = "chat_template";

impl Template {
    /// The template that `choice` makes of what a model brings; none where prompts are plain text.
    ///
    /// # Errors
    /// A file cannot be read, or the template is not one.
    pub fn choose(choice: &Choice, tokenizer: &Tokenizer) -> Result<Option<Template>> {
        let own = || tokenizer.chat_template().map(|(origin, text)| (origin.to_owned(), text.to_owned()));
        let (origin, text) = match choice {
            Choice::None => return Ok(None),
            Choice::ChatMl => (PathBuf::from("chatml"), CHATML.to_owned()),
            Choice::File(path) => {
                (path.clone(), std::fs::read_to_string(path).map_err(EngineError::io(path))?)
            }
            Choice::Auto => match own() {
                Some(own) => own,
                None if speaks_chatml(tokenizer) => (PathBuf::from("chatml"), CHATML.to_owned()),
                None => return Ok(None),
            },
        };
        Template::parse(&origin, text, tokenizer.named_tokens()).map(Some)
    }

    /// Parses a template; `origin` is for messages.
    ///
    /// # Errors
    /// It is no template, or too long to be one.
    pub fn parse(origin: &Path, text: String, tokens: BTreeMap<String, String>) -> Result<Template> {
        if text.len() > LONGEST {
            let what = format!("the chat template has {} bytes; expected at most {LONGEST}", text.len());
            return Err(EngineError::checkpoint(origin, what));
        }
        let mut environment = environment();
        let parsed = environment.add_template_owned(NAME, text);
        parsed.map_err(|error| refused(origin, &error))?;
        Ok(Template {
            environment: Arc::new(environment),
            tokens: Arc::new(tokens),
            origin: origin.to_owned(),
        })
    }

    /// The text that asks for the next word in a conversation: behind `system`, unless the conversation has a system message
    /// of its own, and up to where the assistant's answer begins.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn ask(&self, system: Option<&str>, messages: &[Message]) -> Result<String> {
        let own = messages.iter().any(|message| message.role == "system");
        let system = system.filter(|_| !own).map(|text| Message::new("system", text));
        let all: Vec<Message> = system.into_iter().chain(messages.iter().cloned()).collect();
        self.render(&all, true)
    }

    /// The text of a conversation; `add_generation_prompt` ends it where the assistant's answer begins.
    ///
    /// # Errors
    /// The template refuses the conversation (a role it does not know, say), or ran out of its limits.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let mut context: BTreeMap<&str, Value> =
            self.tokens.iter().map(|(name, token)| (name.as_str(), Value::from(token.as_str()))).collect();
        let message = |Message { role, content }: &Message| {
            Value::from_pairs([("role", role.as_str()), ("content", content.as_str())])
        };
        context.insert("messages", messages.iter().map(message).collect());
        context.insert("add_generation_prompt", Value::from(add_generation_prompt));
        let template = self.environment.get_template(NAME);
        template.and_then(|template| template.render(context)).map_err(|error| refused(&self.origin, &error))
    }

    /// What ends an assistant's message: the first token after it, where that is a special one.
    pub(crate) fn end_of_turn(&self, tokenizer: &Tokenizer) -> Option<u32> {
        const SAID: &str = "=said=";
        let turn = [Message::new("user", "?"), Message::new("assistant", SAID)];
        let text = self.render(&turn, false).ok()?;
        let (_, after) = text.rsplit_once(SAID)?;
        tokenizer.encode(after).ok()?.first().copied().filter(|&id| tokenizer.is_special(id))
    }
}

fn speaks_chatml(tokenizer: &Tokenizer) -> bool {
    let special = |token: &str| tokenizer.token_id(token).is_some_and(|id| tokenizer.is_special(id));
    special("<|im_start|>") && special("<|im_end|>")
}

/// What templates of the field are written for.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the usual delimiters"));
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |what: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, what))
    });
    environment.add_filter("tojson", to_json);
    environment
}

/// JSON as Python's `json.dumps` spaces it; nothing is escaped for HTML, and letters stay letters.
fn to_json(value: Value, kwargs: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    let _ascii: Option<bool> = kwargs.get("ensure_ascii")?;
    kwargs.assert_all_used()?;
    let mut out = Vec::new();
    let written = match indent {
        Some(indent) => {
            let indent = vec![b' '; indent.min(16)];
            value.serialize(&mut serde_json::Serializer::with_formatter(
                &mut out,
                PrettyFormatter::with_indent(&indent),
            ))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced)),
    };
    let failed = |error: &dyn std::fmt::Display| Error::new(ErrorKind::InvalidOperation, error.to_string());
    written.map_err(|error| failed(&error))?;
    String::from_utf8(out).map_err(|error| failed(&error))
}

/// `[1, 2]` and `{"a": 1}`.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

/// One line: what the template says, or what is wrong with it, and where in it.
fn refused(origin: &Path, error: &Error) -> EngineError {
    let line = error.line().map_or(String::new(), |line| format!(" line {line}"));
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    EngineError::checkpoint(origin, format!("chat template{line}: {}", what.replace('\n', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")];
        let tokens = tokens.map(|(name, token)| (name.to_owned(), token.to_owned())).into();
        Template::parse(Path::new("t.jinja"), text.to_owned(), tokens).unwrap()
    }

    fn conversation(messages: &[(&str, &str)]) -> Vec<Message> {
        messages.iter().map(|(role, content)| Message::new(role, content)).collect()
    }

    /// The shape of Qwen2.5's: a system message of its own where none is given, ChatML around each, tools if any.
    const QWEN: &str = "\
{%- if tools %}
    {{- 'TOOLS ' ~ (tools | tojson) }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou do sums.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == \"user\") or (message.role == \"system\" and not loop.first) or \
(message.role == \"assistant\" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == \"tool\" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != \"tool\") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<answer>\\n' }}
        {{- message.content }}
        {{- '\\n</answer>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != \"tool\") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
";

    #[test]
    fn conversations_become_the_text_their_template_makes_of_them() {
        let own = template(QWEN);
        let chatml = template(CHATML);
        type Row<'a> = (&'a Template, &'a [(&'a str, &'a str)], bool, &'a str);
        let rows: [Row<'_>; 7] = [
            (
                &own,
                &[("user", "1+1?")],
                true,
                "<|im_start|>system\nYou do sums.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n\
                 <|im_start|>assistant\n",
            ),
            (
                &own,
                &[("system", "Be brief."), ("user", "1+1?"), ("assistant", "2"), ("user", "+1?")],
                true,
                "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n\
                 <|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\n+1?<|im_end|>\n<|im_start|>assistant\n",
            ),
            (
                &own,
                &[("system", "s"), ("user", "q"), ("tool", "a"), ("tool", "b"), ("assistant", "c")],
                false,
                "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>user\n<answer>\na\n\
                 </answer>\n<answer>\nb\n</answer><|im_end|>\n<|im_start|>assistant\nc<|im_end|>\n",
            ),
            (&chatml, &[("user", "1+1?")], true, "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"),
            (
                &chatml,
                &[("system", "s"), ("user", "<b> & 'q'\n"), ("assistant", "")],
                false,
                "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\n<b> & 'q'\n<|im_end|>\n\
                 <|im_start|>assistant\n<|im_end|>\n",
            ),
            // The special tokens by name, Python's methods, and lines of blocks that leave nothing behind.
            (
                &template(
                    "{{ bos_token }}{% for m in messages %}\n  {% if m.content.startswith('x') %}\n\
                     {{ m.content.split('|')[-1].strip() }}{{ eos_token }}\n  {% endif %}\n{% endfor %}\n",
                ),
                &[("user", "x| y "), ("user", "z")],
                false,
                "<s>y</s>\n",
            ),
            (
                &template("{{ messages | tojson }}{{ messages[0] | tojson(indent=2) }}{{ [] | tojson }}"),
                &[("user", "<\u{e9} \"\n>")],
                false,
                "[{\"role\": \"user\", \"content\": \"<\u{e9} \\\"\\n>\"}]{\n  \"role\": \"user\",\n  \
                 \"content\": \"<\u{e9} \\\"\\n>\"\n}[]",
            ),
        ];
        for (template, messages, ask, expected) in rows {
            assert_eq!(template.render(&conversation(messages), ask).unwrap(), expected, "{messages:?}");
        }
    }

    #[test]
    fn a_template_cannot_take_more_than_its_share_or_reach_outside() {
        let one = conversation(&[("user", "hi")]);
        for (text, says) in [
            ("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}", "fuel"),
            // Doubles a text forty times: a terabyte, if it were not for the fuel.
            (
                "{% set ns = namespace(s='0123456789') %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}\
                 {% endfor %}{{ ns.s }}",
                "fuel",
            ),
            ("{{ 'x' * 10000000000000 }}", "fuel"),
            ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
            ("\n{{ raise_exception('roles must\nalternate') }}", "line 2: roles must alternate"),
            ("{% include '/etc/passwd' %}", ""),
            ("{{ strftime_now('%Y') }}", "strftime_now"),
            ("{{ messages[0].content.__class__.__mro__ }}", ""),
            ("{{ messages[7].content }}", "undefined"),
        ] {
            let parsed = Template::parse(Path::new("t.jinja"), text.to_owned(), BTreeMap::new());
            let said = parsed.and_then(|template| template.render(&one, true)).unwrap_err().to_string();
            assert!(said.starts_with("t.jinja: chat template"), "{said}");
            assert!(said.contains(says) && !said.contains('\n'), "{text}: {said}");
        }
        let long = " ".repeat(LONGEST + 1);
        let said = Template::parse(Path::new("t.jinja"), long, BTreeMap::new()).unwrap_err().to_string();
        assert!(said.contains("262145 bytes"), "{said}");
    }

    #[test]
    fn the_choice_is_the_recipes_then_the_models_then_its_vocabularys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let texts = ["a b c".to_owned()];
        let save = |special: &[&str], config: serde_json::Value, jinja: Option<&str>| {
            let tokenizer = Tokenizer::train(&texts, 300, special).unwrap();
            tokenizer.save(path).unwrap();
            let mut whole: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(path.join("tokenizer_config.json")).unwrap())
                    .unwrap();
            whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
            std::fs::write(path.join("tokenizer_config.json"), whole.to_string()).unwrap();
            let _ = std::fs::remove_file(path.join("chat_template.jinja"));
            jinja.iter().for_each(|text| std::fs::write(path.join("chat_template.jinja"), text).unwrap());
            Tokenizer::load(path).unwrap()
        };
        let chosen = |tokenizer: &Tokenizer, choice: Choice| {
            let template = Template::choose(&choice, tokenizer).unwrap();
            template.map(|template| template.render(&conversation(&[("user", "q")]), false).unwrap())
        };
        let (plain, chatml) = (["</s>"], ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]);
        let as_chatml = Some("<|im_start|>user\nq<|im_end|>\n".to_owned());
        let nothing = serde_json::json!({});
        let base = save(&plain, nothing.clone(), None);
        assert_eq!(chosen(&base, Choice::Auto), None);
        assert_eq!(chosen(&base, Choice::ChatMl), as_chatml);
        let qwen = save(&chatml, nothing, None);
        assert_eq!(chosen(&qwen, Choice::Auto), as_chatml);
        assert_eq!(chosen(&qwen, Choice::None), None);

        let named = serde_json::json!({"chat_template": [{"name": "tool_use", "template": "no"},
            {"name": "default", "template": "[{{ messages[0].content }}]{{ eos_token }}"}]});
        let own = save(&chatml, named, None);
        assert_eq!(chosen(&own, Choice::Auto).as_deref(), Some("[q]<|endoftext|>"));
        let config = serde_json::json!({"chat_template": "of the configuration"});
        let file = save(&plain, config, Some("{{ messages[0].content }}!"));
        assert_eq!(chosen(&file, Choice::Auto).as_deref(), Some("q!"));
        // What was read is written.
        file.save(&path.join("again")).unwrap();
        assert_eq!(
            chosen(&Tokenizer::load(&path.join("again")).unwrap(), Choice::Auto).as_deref(),
            Some("q!")
        );
        let other = path.join("other.jinja");
        std::fs::write(&other, "{{ messages[0].role }}").unwrap();
        assert_eq!(chosen(&file, Choice::File(other)).as_deref(), Some("user"));
        let missing =
            Template::choose(&Choice::File(path.join("none.jinja")), &file).unwrap_err().to_string();
        assert!(missing.contains("none.jinja: No such file"), "{missing}");
        let wrong = save(&plain, serde_json::json!({"chat_template": "{% if %}"}), None);
        let said = Template::choose(&Choice::Auto, &wrong).unwrap_err().to_string();
        assert!(said.starts_with("tokenizer_config.json: chat template line 1: "), "{said}");

        // What ends a turn is what the template writes behind one, if that is a token of its own.
        let ends = |tokenizer: &Tokenizer, choice| {
            Template::choose(&choice, tokenizer).unwrap().unwrap().end_of_turn(tokenizer)
        };
        assert_eq!(ends(&qwen, Choice::ChatMl), qwen.token_id("<|im_end|>"));
        assert_eq!(ends(&base, Choice::ChatMl), None);
    }
}
