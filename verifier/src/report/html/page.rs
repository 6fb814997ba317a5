//! A page being written: tags that close, text that is escaped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");

/// A page, or the part of it that is written so far.
#[derive(Debug)]
pub(super) struct Page(String);

/// The value of an attribute. Names are always ours.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attribute<'a> {
    /// Coordinates and sizes.
    Number(f64),
    /// Escaped.
    Text(&'a str),
}

impl From<f64> for Attribute<'_> {
    fn from(value: f64) -> Self {
        Attribute::Number(value)
    }
}

impl<'a> From<&'a str> for Attribute<'a> {
    fn from(value: &'a str) -> Self {
        Attribute::Text(value)
    }
}

impl<'a> From<&'a String> for Attribute<'a> {
    fn from(value: &'a String) -> Self {
        Attribute::Text(value)
    }
}

/// An element's attributes.
pub(super) type Attributes<'a> = [(&'static str, Attribute<'a>)];

impl Page {
    /// A whole document around `body`.
    pub(super) fn document(title: &str, body: impl FnOnce(&mut Page)) -> String {
        let mut page = Page(String::from("<!doctype html>\n"));
        page.inside("html", &[("lang", "en".into())], |page| {
            page.inside("head", &[], |page| {
                page.alone("meta", &[("charset", "utf-8".into())]);
                let policy = format!(
                    "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
                    BASE64.encode(Sha256::digest(STYLE))
                );
                page.alone(
                    "meta",
                    &[("http-equiv", "Content-Security-Policy".into()), ("content", (&policy).into())],
                );
                let viewport = "width=device-width, initial-scale=1";
                page.alone("meta", &[("name", "viewport".into()), ("content", viewport.into())]);
                page.alone("meta", &[("name", "color-scheme".into()), ("content", "light dark".into())]);
                page.alone("meta", &[("name", "referrer".into()), ("content", "no-referrer".into())]);
                page.inside("title", &[], |page| page.text(title));
                // The style is ours, and escaping it would change it.
                page.inside("style", &[], |page| page.0.push_str(STYLE));
            });
            page.inside("body", &[], body);
        });
        page.0.push('\n');
        page.0
    }

    /// An element with content.
    pub(super) fn inside(
        &mut self,
        name: &'static str,
        attributes: &Attributes<'_>,
        content: impl FnOnce(&mut Page),
    ) {
        self.open(name, attributes);
        self.0.push('>');
        content(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
        if matches!(
            name,
            "p" | "tr" | "table" | "section" | "svg" | "details" | "h2" | "div" | "style" | "head"
        ) {
            self.0.push('\n');
        }
    }

    /// An element that holds nothing.
    pub(super) fn alone(&mut self, name: &'static str, attributes: &Attributes<'_>) {
        self.open(name, attributes);
        self.0.push_str("/>");
    }

    /// An element with a class and text in it.
    pub(super) fn say(&mut self, name: &'static str, class: &str, text: &str) {
        let attributes = [("class", Attribute::Text(class))];
        let attributes = if class.is_empty() { &[] } else { &attributes[..] };
        self.inside(name, attributes, |page| page.text(text));
    }

    /// A part with a heading that can be linked to.
    pub(super) fn section(&mut self, id: &str, title: &str, content: impl FnOnce(&mut Page)) {
        self.inside("section", &[("id", id.into())], |page| {
            page.say("h2", "", title);
            content(page);
        });
    }

    /// A table that scrolls by itself where the screen is narrow; the first column is text, the others numbers.
    pub(super) fn table(&mut self, header: &[&str], rows: impl FnOnce(&mut Page)) {
        self.inside("div", &[("class", "scroll".into())], |page| {
            page.inside("table", &[], |page| {
                page.inside("thead", &[], |page| {
                    page.inside("tr", &[], |page| {
                        for (column, title) in header.iter().enumerate() {
                            page.say("th", if column == 0 { "" } else { "n" }, title);
                        }
                    });
                });
                page.inside("tbody", &[], rows);
            });
        });
    }

    /// Text, made harmless: no markup, no control characters and none that turn the direction of reading.
    pub(super) fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                // Pictures of the control characters.
                '\0'..='\u{1f}' => self.0.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
                '\u{7f}' => self.0.push('\u{2421}'),
                '\u{80}'..='\u{9f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fffe}'
                | '\u{ffff}' => {
                    self.0.push_str(&format!("[U+{:04X}]", c as u32));
                }
                c => self.0.push(c),
            }
        }
    }

    fn open(&mut self, name: &'static str, attributes: &Attributes<'_>) {
        self.0.push('<');
        self.0.push_str(name);
        for (key, value) in attributes {
            self.0.push(' ');
            self.0.push_str(key);
            self.0.push_str("=\"");
            match value {
                Attribute::Number(number) => self.0.push_str(&short(*number)),
                Attribute::Text(text) => self.text(text),
            }
            self.0.push('"');
        }
    }
}

/// A coordinate with at most two decimals.
pub(super) fn short(number: f64) -> String {
    if !number.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_text() {
        let hostile = "</pre><script>alert(1)</script>\" onload='x' &lt; \u{202e}\u{0}\u{1b}[31m";
        let page = Page::document(hostile, |page| {
            page.inside("p", &[("class", hostile.into())], |page| page.text(hostile));
        });
        assert!(
            !page.contains("<script") && !page.contains("\" onload") && !page.contains("onload='"),
            "{page}"
        );
        assert!(!page.contains(['\u{202e}', '\0', '\u{1b}']), "{page}");
        assert!(page.contains("[U+202E]\u{2400}\u{241b}[31m"), "{page}");
    }

    #[test]
    fn coordinates_are_short() {
        for (number, text) in
            [(1.0, "1"), (0.5, "0.5"), (-3.256_78, "-3.26"), (f64::NAN, "0"), (100.0, "100")]
        {
            assert_eq!(short(number), text);
        }
    }
}
