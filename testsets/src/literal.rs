//! Python literals: what tests written for Python hold. As JSON, where tuples become lists; or as literals in one
//! spelling, where they stay tuples. One pass, nesting capped.

/// Deepest nesting.
const MAX_DEPTH: usize = 100;

/// A call that an assertion compares with a value; all of them Python literals with strings as in JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) function: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) result: String,
}

/// The calls of code that is nothing but `assert function(literal, ...) == literal`, maybe with messages and remarks;
/// `None` for any other code.
pub(crate) fn calls(code: &str) -> Option<Vec<Call>> {
    let mut reader = Reader { text: code, at: 0, json: String::new(), python: true };
    let mut calls = Vec::new();
    while reader.statement() {
        if !reader.word_is("assert") {
            return None;
        }
        reader.space();
        // Some sets begin with one that always holds, to show how a message looks.
        if !reader.word_is("True") {
            calls.push(reader.call()?);
        }
        reader.message().ok()?;
        if !reader.statement_ends() {
            return None;
        }
    }
    Some(calls)
}

/// The JSON of one literal.
pub(crate) fn value(text: &str) -> Result<String, String> {
    let mut reader = Reader { text, at: 0, json: String::new(), python: false };
    reader.value(0)?;
    reader.end()
}

/// The JSON of `name = literal, name = literal`, one value a line.
pub(crate) fn keywords(text: &str) -> Result<String, String> {
    let mut reader = Reader { text, at: 0, json: String::new(), python: false };
    loop {
        reader.space();
        let name = reader.rest().find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(0);
        if name == 0 {
            return reader.fail("a name");
        }
        reader.at += name;
        reader.space();
        if !reader.take('=') {
            return reader.fail("`=`");
        }
        reader.value(0)?;
        reader.space();
        if !reader.take(',') {
            return reader.end();
        }
        reader.json.push('\n');
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// What was read, as it is handed on.
    json: String,
    /// Tuples and Python's own words stay.
    python: bool,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.rest().starts_with(c);
        self.at += if found { c.len_utf8() } else { 0 };
        found
    }

    fn fail<T>(&self, expected: &str) -> Result<T, String> {
        Err(format!("expected {expected} at byte {}", self.at))
    }

    /// Steps over blanks, remarks and ends of statements to the next one; false at the end.
    fn statement(&mut self) -> bool {
        loop {
            self.space();
            if self.rest().starts_with('#') {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            } else if !self.take(';') {
                return !self.rest().is_empty();
            }
        }
    }

    fn statement_ends(&self) -> bool {
        let behind = self.rest().trim_start_matches([' ', '\t', '\r']);
        behind.is_empty() || behind.starts_with(['\n', ';', '#'])
    }

    fn name(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += end;
        (end > 0).then(|| &rest[..end])
    }

    /// Takes a word if it is the next one.
    fn word_is(&mut self, word: &str) -> bool {
        let before = self.at;
        let found = self.name() == Some(word);
        self.at = if found { self.at } else { before };
        found
    }

    fn call(&mut self) -> Option<Call> {
        let function = self.name()?.to_owned();
        if !self.take('(') {
            return None;
        }
        let mut arguments = Vec::new();
        loop {
            self.space();
            if self.take(')') {
                break;
            }
            arguments.push(self.literal()?);
            self.space();
            if !self.take(',') && !self.rest().starts_with(')') {
                return None;
            }
        }
        self.space();
        match self.take('=') && self.take('=') {
            true => Some(Call { function, arguments, result: self.literal()? }),
            false => None,
        }
    }

    fn literal(&mut self) -> Option<String> {
        self.json.clear();
        self.value(0).ok()?;
        Some(std::mem::take(&mut self.json))
    }

    /// `, "text"` behind an assertion.
    fn message(&mut self) -> Result<(), String> {
        let rest = self.rest().trim_start_matches([' ', '\t']);
        if !rest.starts_with(',') {
            return Ok(());
        }
        self.at = self.text.len() - rest.len() + 1;
        self.space();
        match self.rest().starts_with(['\'', '"']) {
            true => self.string(),
            false => self.fail("a message"),
        }
    }

    fn end(mut self) -> Result<String, String> {
        self.space();
        if self.rest().is_empty() { Ok(self.json) } else { self.fail("the end") }
    }

    fn value(&mut self, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return self.fail("less nesting");
        }
        self.space();
        match self.rest().chars().next() {
            Some('[') => self.items('[', ']', depth),
            Some('(') if self.python => self.tuple(depth),
            Some('(') => self.items('(', ')', depth),
            Some('{') => self.entries(depth),
            Some('\'' | '"') => self.string(),
            Some('-' | '0'..='9' | '.') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<(), String> {
        if self.python {
            return match self.name().filter(|word| ["None", "True", "False"].contains(word)) {
                Some(word) => {
                    self.json.push_str(word);
                    Ok(())
                }
                None => self.fail("a literal"),
            };
        }
        let words = [
            ("None", "null"),
            ("null", "null"),
            ("True", "true"),
            ("true", "true"),
            ("False", "false"),
            ("false", "false"),
        ];
        for (word, json) in words {
            if self.rest().starts_with(word) {
                self.at += word.len();
                self.json.push_str(json);
                return Ok(());
            }
        }
        self.fail("a literal")
    }

    fn items(&mut self, open: char, close: char, depth: usize) -> Result<(), String> {
        self.take(open);
        self.json.push('[');
        let mut first = true;
        loop {
            self.space();
            if self.take(close) {
                self.json.push(']');
                return Ok(());
            }
            if !first {
                self.json.push(',');
            }
            first = false;
            self.value(depth + 1)?;
            self.space();
            if !self.take(',') && !self.rest().starts_with(close) {
                return self.fail("`,` or the end of the list");
            }
        }
    }

    /// A tuple, or a value in brackets.
    fn tuple(&mut self, depth: usize) -> Result<(), String> {
        let (start, mut count, mut comma) = (self.json.len(), 0, false);
        self.take('(');
        self.json.push('(');
        loop {
            self.space();
            if self.take(')') {
                break;
            }
            if count > 0 && !comma {
                return self.fail("`,` or `)`");
            }
            self.value(depth + 1)?;
            count += 1;
            self.space();
            comma = self.take(',');
            if comma {
                self.json.push(',');
            }
        }
        if count == 1 && !comma {
            self.json.remove(start);
        } else {
            self.json.push(')');
        }
        Ok(())
    }

    fn entries(&mut self, depth: usize) -> Result<(), String> {
        self.take('{');
        self.json.push('{');
        let mut first = true;
        loop {
            self.space();
            if self.take('}') {
                self.json.push('}');
                return Ok(());
            }
            if !first {
                self.json.push(',');
            }
            first = false;
            if !self.rest().starts_with(['\'', '"']) {
                return self.fail("a string as key: JSON has no other");
            }
            self.string()?;
            self.space();
            if !self.take(':') {
                return self.fail("`:`");
            }
            self.json.push(':');
            self.value(depth + 1)?;
            self.space();
            if !self.take(',') && !self.rest().starts_with('}') {
                return self.fail("`,` or `}`");
            }
        }
    }

    fn number(&mut self) -> Result<(), String> {
        let end = self.rest().find(|c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c));
        let text: String = self.rest()[..end.unwrap_or(self.rest().len())].replace('_', "");
        let json = match text.strip_prefix('.') {
            Some(fraction) => format!("0.{fraction}"),
            None if text.ends_with('.') => format!("{text}0"),
            None => text.clone(),
        };
        if serde_json::from_str::<&serde_json::value::RawValue>(&json).is_err() || text.is_empty() {
            return self.fail("a decimal number");
        }
        self.at += end.unwrap_or(self.rest().len());
        self.json.push_str(&json);
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        let quote = self.rest().chars().next().unwrap_or('"');
        self.take(quote);
        let mut text = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else { return self.fail("the end of the string") };
            self.at += c.len_utf8();
            match c {
                c if c == quote => break,
                '\\' => self.escape(&mut text)?,
                c => text.push(c),
            }
        }
        self.json.push_str(&serde_json::Value::from(text).to_string());
        Ok(())
    }

    fn escape(&mut self, text: &mut String) -> Result<(), String> {
        let Some(c) = self.rest().chars().next() else { return self.fail("an escape") };
        self.at += c.len_utf8();
        let plain = match c {
            'n' => Some('\n'),
            't' => Some('\t'),
            'r' => Some('\r'),
            '\\' | '\'' | '"' => Some(c),
            _ => None,
        };
        if let Some(plain) = plain {
            text.push(plain);
            return Ok(());
        }
        let digits = match c {
            'x' => 2,
            'u' => 4,
            _ => return self.fail("an escape that both languages have"),
        };
        let code = self.text.get(self.at..self.at + digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        match code.and_then(char::from_u32) {
            Some(c) => {
                self.at += digits;
                text.push(c);
                Ok(())
            }
            None => self.fail("a character's code"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_become_json() {
        let rows = [
            ("7", "7"),
            (" -1.50 ", "-1.50"),
            (".5", "0.5"),
            ("1_000", "1000"),
            ("1e5", "1e5"),
            ("None", "null"),
            ("[1, (2, 'a'), {'k': True}, ]", r#"[1,[2,"a"],{"k":true}]"#),
            (r#""it's""#, r#""it's""#),
            (r"'\x41\u00e9\\'", "\"A\u{e9}\\\\\""),
            ("()", "[]"),
        ];
        for (text, json) in rows {
            assert_eq!(value(text).as_deref(), Ok(json), "{text}");
        }
        assert_eq!(keywords("n = 7, s = 'a, b = 2'").as_deref(), Ok("7\n\"a, b = 2\""));
        for bad in ["", "x", "[1", "{1: 2}", "'a", "1 2", "0x10", "--1", "1+2", r"'\q'", "[1 2]"] {
            assert!(value(bad).is_err(), "{bad}");
        }
        for bad in ["", "7", "n 7", "n = 7,", "n = 7 m = 8"] {
            assert!(keywords(bad).is_err(), "{bad}");
        }
        assert!(value(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn assertions_become_calls() {
        let call = |arguments: &[&str], result: &str| Call {
            function: "f".to_owned(),
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            result: result.to_owned(),
        };
        let rows = [
            ("assert f(1) == 2", vec![call(&["1"], "2")]),
            (
                "# first\n\nassert f( (1, 'a'), [2.50,] ) == (True, None), 'no'; assert f()==()\n",
                vec![call(&["(1,\"a\")", "[2.50]"], "(True,None)"), call(&[], "()")],
            ),
            ("assert True, \"x\"\nassert f((1),) == (1,)  # one", vec![call(&["1"], "(1,)")]),
            ("assert f(\n  {'k': [1,\n 2]}) == -0.5\r\n", vec![call(&["{\"k\":[1,2]}"], "-0.5")]),
            ("assert f('\\n\\x41\"') == ''", vec![call(&["\"\\nA\\\"\""], "\"\"")]),
            ("", vec![]),
        ];
        for (code, expected) in rows {
            assert_eq!(calls(code), Some(expected), "{code}");
        }
        for other in [
            "f(1) == 2",
            "assert f(1)",
            "assert not f(1) == 2",
            "assert f(1) == 2 or True",
            "assert f(1) == 2 + 3",
            "assert f(1) == 2 == 2",
            "assert f(1) == 2, g()",
            "assert f(1) == g(2)",
            "assert f(x) == 2",
            "assert f(x=1) == 2",
            "assert f(*[1]) == 2",
            "assert f(1 2) == 2",
            "assert f(1) == {1, 2}",
            "assert f({1: 2}) == 2",
            "assert f(b'a') == 2",
            "assert f('a' 'b') == 2",
            "assert f('''a''') == 2",
            "assert f(true) == 2",
            "assert f(1) is True",
            "assert f(1) != 2",
            "assert f(1)(2) == 2",
            "assert a.f(1) == 2",
            "assertf(1) == 2",
            "for i in []:\n    assert f(1) == 2",
            "assert f(1) == (1 2)",
            "assert f(1) == (",
        ] {
            assert_eq!(calls(other), None, "{other}");
        }
        assert_eq!(calls(&format!("assert f({}", "(".repeat(100_000))), None);
    }

    proptest! {
        /// Whatever comes out is JSON.
        #[test]
        fn what_comes_out_is_json(text in "[\\[\\](){}'\"\\\\0-9a-z,:. =_\u{e9}-]{0,40}") {
            if let Ok(json) = value(&text) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{text:?} {json:?}");
            }
            let _ = keywords(&text);
            let _ = calls(&format!("assert f({text}) == {text}"));
        }
    }
}
