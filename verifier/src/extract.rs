//! Where the program is in a completion.
//!
//! Each mode is one scan over the text and total: whatever the text, the answer is a program or `None`.

use assay_sandbox::Language;

/// How the program is found in a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extraction {
    /// After the last `</think>` (nothing, if a `<think>` is still open), the last complete fence of the language;
    /// where no fence names it, the last complete fence that names none. The default for rewards.
    #[default]
    LastFence,
    /// LiveCodeBench's: what stands between the last two lines that contain three backticks anywhere.
    Lcb,
    /// The whole text is the program.
    Whole,
    /// veRL's (prime_code): from the last "```python" on, or from the beginning where there is none, to the next three
    /// backticks.
    Verl,
    /// rllm's: the last block between three backticks with at most a word behind the first, stripped.
    Rllm,
    /// open-r1's: the last block between three backticks with the language's name behind the first.
    OpenR1,
    /// The paper's toolkit's: the last block of the whole text, thinking included, where a `</think>` is in it.
    AceReason,
}

impl Extraction {
    /// All modes.
    pub const ALL: [Extraction; 7] = [
        Extraction::LastFence,
        Extraction::Lcb,
        Extraction::Whole,
        Extraction::Verl,
        Extraction::Rllm,
        Extraction::OpenR1,
        Extraction::AceReason,
    ];

    /// The name in configurations and judgements.
    pub fn name(self) -> &'static str {
        match self {
            Extraction::LastFence => "last_fence",
            Extraction::Lcb => "lcb",
            Extraction::Whole => "whole",
            Extraction::Verl => "verl",
            Extraction::Rllm => "rllm",
            Extraction::OpenR1 => "open_r1",
            Extraction::AceReason => "acereason",
        }
    }

    /// Reads [`Extraction::name`].
    pub fn from_name(name: &str) -> Option<Extraction> {
        Extraction::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// For functions: the blocks whose definitions together are the program; empty where it is what
    /// [`Extraction::program`] says.
    pub fn definitions(self, completion: &str) -> Vec<String> {
        match self {
            Extraction::AceReason => blocks(completion, is_word).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// The program in `completion`, and its language. With `language` given only such a program counts, or one
    /// of the language it is like; without,
    /// the fence's tag says it, and untagged text is Python.
    pub fn program(self, completion: &str, language: Option<Language>) -> Option<(String, Language)> {
        let untagged = language.unwrap_or(Language::Python3);
        match self {
            Extraction::Whole => Some((completion.to_owned(), untagged)),
            Extraction::Lcb => Some((between_last_two_fence_lines(completion)?, untagged)),
            Extraction::LastFence => last_fence(after_thinking(completion)?, language),
            Extraction::Verl => Some((after_last_python(completion).to_owned(), untagged)),
            Extraction::Rllm => {
                let block = blocks(completion, is_word).last()?;
                Some((block.trim().to_owned(), untagged))
            }
            Extraction::OpenR1 => {
                let named = |tag: &str| Language::from_name(tag).is_some_and(|named| untagged.is_like(named));
                let block = blocks(completion, named).last()?;
                Some((block.to_owned(), untagged))
            }
            Extraction::AceReason => {
                let closed = completion.contains("</think>");
                let block = blocks(completion, is_word).last().filter(|_| closed)?;
                Some((block.to_owned(), untagged))
            }
        }
    }
}

/// The text after the last `</think>`; `None` while a `<think>` is still open.
fn after_thinking(completion: &str) -> Option<&str> {
    match completion.rfind("</think>") {
        Some(at) => Some(&completion[at + "</think>".len()..]),
        None if completion.contains("<think>") => None,
        None => Some(completion),
    }
}

fn between_last_two_fence_lines(completion: &str) -> Option<String> {
    let lines: Vec<&str> = completion.split('\n').collect();
    let mut fences = lines.iter().enumerate().rev().filter(|(_, line)| line.contains("```")).map(|(i, _)| i);
    let last = fences.next()?;
    let first = fences.next()?;
    Some(lines[first + 1..last].join("\n"))
}

fn after_last_python(completion: &str) -> &str {
    let open = "```python";
    let code = completion.rfind(open).map_or(completion, |at| &completion[at + open.len()..]);
    code.split("```").next().unwrap_or_default()
}

fn is_word(tag: &str) -> bool {
    tag.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// What the pattern "```TAG\n(.*?)```" finds, with tags that `fits` takes, in order.
fn blocks(text: &str, fits: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let open = at + text[at..].find("```")?;
            let rest = &text[open + 3..];
            // A tag holds no backtick, so no byte is looked at twice for one.
            let tag = rest.split(['\n', '`']).next().unwrap_or_default();
            let body = open + 3 + tag.len() + 1;
            if !rest[tag.len()..].starts_with('\n') || !fits(tag) {
                at = open + 1;
                continue;
            }
            let end = body + text[body..].find("```")?;
            at = end + 3;
            return Some(&text[body..end]);
        }
    })
}

fn last_fence(text: &str, language: Option<Language>) -> Option<(String, Language)> {
    let mut tagged = None;
    let mut untagged = None;
    let mut open: Option<Fence> = None;
    for line in text.split('\n') {
        match &mut open {
            None => open = Fence::opened_by(line),
            Some(fence) if fence.closed_by(line) => {
                if fence.tag.is_empty() {
                    untagged = Some((fence.body(), language.unwrap_or(Language::Python3)));
                } else if let Some(named) = Language::from_name(&fence.tag)
                    && language.is_none_or(|wanted| wanted.is_like(named))
                {
                    tagged = Some((fence.body(), language.unwrap_or(named)));
                }
                open = None;
            }
            Some(fence) => fence.lines.push(line),
        }
    }
    tagged.or(untagged)
}

/// A fence as CommonMark has it, while it is open.
struct Fence<'a> {
    indent: usize,
    ticks: usize,
    tag: String,
    lines: Vec<&'a str>,
}

impl<'a> Fence<'a> {
    /// A line that opens a fence: blanks, at least three backticks, and an info string without backticks. Models
    /// indent fences inside lists, so any indent will do.
    fn opened_by(line: &'a str) -> Option<Fence<'a>> {
        let text = line.trim_start_matches([' ', '\t']);
        let info = text.trim_start_matches('`');
        let ticks = text.len() - info.len();
        if ticks < 3 || info.contains('`') {
            return None;
        }
        let tag = info.trim().split([' ', '\t', '{', ',', ':']).next().unwrap_or_default().to_owned();
        Some(Fence { indent: line.len() - text.len(), ticks, tag, lines: Vec::new() })
    }

    fn closed_by(&self, line: &str) -> bool {
        let text = line.trim();
        text.len() >= self.ticks && text.bytes().all(|b| b == b'`')
    }

    /// The lines inside, without the blanks the fence itself was indented by.
    fn body(&self) -> String {
        let outdented = |line: &&'a str| {
            let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
            &line[blanks.min(self.indent)..]
        };
        self.lines.iter().map(outdented).collect::<Vec<&str>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(non_upper_case_globals, reason = "as the tables read best")]
    const Python3: Language = Language::Python3;
    #[expect(non_upper_case_globals, reason = "as the tables read best")]
    const Cpp17: Language = Language::Cpp17;

    fn check(
        mode: Extraction,
        language: Option<Language>,
        completion: &str,
        expected: Option<(&str, Language)>,
    ) {
        let found = mode.program(completion, language);
        assert_eq!(found.as_ref().map(|(code, l)| (code.as_str(), *l)), expected, "{mode:?} {completion:?}");
    }

    #[test]
    fn last_fence_mode() {
        let rows = [
            ("```python\na\n```", None, Some(("a", Python3))),
            ("```python\na\n```\n```python\nb\n```\nDone", None, Some(("b", Python3))),
            ("```python\na\n```\n```\n3 4\n```", None, Some(("a", Python3))),
            ("```\na\n```", None, Some(("a", Python3))),
            ("```\na\n```", Some(Cpp17), Some(("a", Cpp17))),
            ("```cpp\na\n```", None, Some(("a", Cpp17))),
            ("```cpp\na\n```", Some(Python3), None),
            ("```cpp\na\n```", Language::from_name("cpp20"), Language::from_name("cpp20").map(|l| ("a", l))),
            ("```c++20\na\n```", Some(Cpp17), None),
            ("```python\na\n```\n```text\nout\n```", None, Some(("a", Python3))),
            ("```python\na\n", None, None),
            ("```python\na\n```\n```python\nhalf", None, Some(("a", Python3))),
            ("no fence", None, None),
            ("<think>```python\nx\n```</think>\n```python\na\n```", None, Some(("a", Python3))),
            ("```python\nx\n```</think> no code", None, None),
            ("<think>```python\nx\n```", None, None),
            ("1. so:\n   ```py\n   if x:\n       y\n   ```", None, Some(("if x:\n    y", Python3))),
            ("````python\ns = '''\n```\n'''\n````", None, Some(("s = '''\n```\n'''", Python3))),
            ("```python title=\"a\"\r\na\r\n```\r\n", None, Some(("a\r", Python3))),
            ("```python\n```", None, Some(("", Python3))),
            ("", None, None),
        ];
        for (completion, language, expected) in rows {
            check(Extraction::LastFence, language, completion, expected);
        }
    }

    #[test]
    fn other_peoples_modes() {
        use Extraction::{AceReason, OpenR1, Rllm, Verl};
        let rows = [
            (Verl, "a ```python\nb\n``` c", Some("\nb\n")),
            (Verl, "```python\na\n```\n```python\nb", Some("\nb")),
            (Verl, "no fence", Some("no fence")),
            (Verl, "```\na\n```", Some("")),
            (Rllm, "```python\na\n```\n```\n b \n```", Some("b")),
            (Rllm, "```python title\na\n```", None),
            (Rllm, "````py\na\n````", Some("a")),
            (Rllm, "```python\na", None),
            (Rllm, "x ```a``` y ```\nb```", Some("b")),
            (OpenR1, "```python\na\n```\n```\nb\n```", Some("a\n")),
            (OpenR1, "```cpp\na\n```", None),
            (OpenR1, "```\na\n```", None),
            (AceReason, "```python\na\n```", None),
            (AceReason, "<think>```python\na\n```</think> so", Some("a\n")),
            (AceReason, "</think>```python\na\n```\n```\nb\n```", Some("b\n")),
        ];
        for (mode, completion, expected) in rows {
            check(mode, None, completion, expected.map(|code| (code, Python3)));
        }
        check(OpenR1, Some(Cpp17), "```cpp\na\n```\n```python\nb\n```", Some(("a\n", Cpp17)));
    }

    #[test]
    fn lcb_mode_takes_any_line_with_backticks() {
        let rows = [
            ("```python\na\n```", Some("a")),
            ("```python\na\n```\ntext\n```\nb\n```", Some("b")),
            ("```python\na\n```\nand ```unclosed", Some("")),
            ("  indented = 1 # ```\nx\n```", Some("x")),
            ("```python\na", None),
            ("", None),
        ];
        for (completion, expected) in rows {
            check(Extraction::Lcb, None, completion, expected.map(|code| (code, Python3)));
        }
        check(Extraction::Whole, Some(Cpp17), "x", Some(("x", Cpp17)));
    }
}
