//! Where the program is in a completion.
//!
//! Each mode is one scan over the lines and total: whatever the text, the answer is a program or `None`.

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
}

impl Extraction {
    /// The name in configurations and judgements.
    pub fn name(self) -> &'static str {
        match self {
            Extraction::LastFence => "last_fence",
            Extraction::Lcb => "lcb",
            Extraction::Whole => "whole",
        }
    }

    /// Reads [`Extraction::name`].
    pub fn from_name(name: &str) -> Option<Extraction> {
        [Extraction::LastFence, Extraction::Lcb, Extraction::Whole].into_iter().find(|e| e.name() == name)
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
