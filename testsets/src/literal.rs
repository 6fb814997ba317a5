//! Python literals as JSON: what tests written for Python hold. One pass, nesting capped; tuples become lists.

/// Deepest nesting.
const MAX_DEPTH: usize = 100;

/// The JSON of one literal.
pub(crate) fn value(text: &str) -> Result<String, String> {
    let mut reader = Reader { text, at: 0, json: String::new() };
    reader.value(0)?;
    reader.end()
}

/// The JSON of `name = literal, name = literal`, one value a line.
pub(crate) fn keywords(text: &str) -> Result<String, String> {
    let mut reader = Reader { text, at: 0, json: String::new() };
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
    json: String,
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
            Some('(') => self.items('(', ')', depth),
            Some('{') => self.entries(depth),
            Some('\'' | '"') => self.string(),
            Some('-' | '0'..='9' | '.') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<(), String> {
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

    proptest! {
        /// Whatever comes out is JSON.
        #[test]
        fn what_comes_out_is_json(text in "[\\[\\](){}'\"\\\\0-9a-z,:. =_\u{e9}-]{0,40}") {
            if let Ok(json) = value(&text) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{text:?} {json:?}");
            }
            let _ = keywords(&text);
        }
    }
}
