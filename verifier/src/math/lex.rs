//! Bytes to tokens, for LaTeX and plain text alike.
//!
//! Spacing, `\left`, `\big` and other signs of typesetting vanish here; look-alike characters with one
//! mathematical meaning (U+2212, full-width digits, superscripts) are folded; letters of other scripts are
//! *not* (a Cyrillic "a" is its own symbol). A zero-width or bidirectional control inside a number or a word
//! is refused.

use super::budget::{Budget, Step, Stop};

/// The one character each meaning has as a token, however it was written.
pub(crate) mod sign {
    /// <=
    pub(crate) const AT_MOST: char = '\u{2264}';
    /// >=
    pub(crate) const AT_LEAST: char = '\u{2265}';
    /// !=
    pub(crate) const UNEQUAL: char = '\u{2260}';
    /// +-
    pub(crate) const PLUS_MINUS: char = '\u{b1}';
    /// -+
    pub(crate) const MINUS_PLUS: char = '\u{2213}';
    /// Infinity
    pub(crate) const INFINITY: char = '\u{221e}';
    /// The radical sign
    pub(crate) const RADICAL: char = '\u{221a}';
    /// Degrees
    pub(crate) const DEGREE: char = '\u{b0}';
    /// Union of sets
    pub(crate) const UNION: char = '\u{222a}';
    /// Intersection of sets
    pub(crate) const INTERSECTION: char = '\u{2229}';
    /// Member of
    pub(crate) const MEMBER: char = '\u{2208}';
    /// Approximately
    pub(crate) const ABOUT: char = '\u{2248}';
    /// And so on
    pub(crate) const ELLIPSIS: char = '\u{2026}';
    /// The empty set
    pub(crate) const EMPTY: char = '\u{2205}';
    /// Angle bracket
    pub(crate) const ANGLE_OPEN: char = '\u{27e8}';
    /// Angle bracket
    pub(crate) const ANGLE_CLOSE: char = '\u{27e9}';
    /// Norm
    pub(crate) const DOUBLE_BAR: char = '\u{2016}';
    /// Euro
    pub(crate) const EURO: char = '\u{20ac}';
    /// Pound sterling
    pub(crate) const POUND: char = '\u{a3}';
    /// Yen
    pub(crate) const YEN: char = '\u{a5}';
    /// The real numbers
    pub(crate) const REALS: char = '\u{211d}';
}

/// One token; slices point into the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    /// A number as written: digits, thousands separators, decimal point, exponent, the part that repeats.
    Number(&'a str),
    /// A single letter.
    Letter(char),
    /// Two or more letters without a backslash.
    Word(&'a str),
    /// A LaTeX command without its backslash.
    Command(&'a str),
    /// The content of `\text{..}` and its kin.
    Text(&'a str),
    /// An operator or a bracket; folded to one character per meaning.
    Sign(char),
    /// `\{`
    SetOpen,
    /// `\}`
    SetClose,
    /// `\\` inside an environment.
    Row,
    Begin(&'a str),
    End(&'a str),
}

/// Splits an answer into tokens.
pub(crate) fn tokens<'a>(text: &'a str, budget: &Budget) -> Step<Vec<Token<'a>>> {
    if text.len() > budget.answer_bytes {
        return Err(Stop::Limit("answer length"));
    }
    let mut lexer =
        Lexer { text, at: 0, brackets: 0, environments: 0, budget, tokens: Vec::with_capacity(32) };
    while lexer.at < text.len() {
        lexer.step()?;
        if lexer.tokens.len() > budget.tokens {
            return Err(Stop::Limit("tokens"));
        }
    }
    Ok(lexer.tokens)
}

struct Lexer<'a, 'b> {
    text: &'a str,
    at: usize,
    /// Open `(`, `[`, `\{`: inside them a comma separates items and never thousands.
    brackets: u32,
    environments: u32,
    budget: &'b Budget,
    tokens: Vec<Token<'a>>,
}

impl<'a> Lexer<'a, '_> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Adds a token of so many bytes.
    fn push(&mut self, token: Token<'a>, length: usize) -> Step<()> {
        self.tokens.push(token);
        self.at += length;
        Ok(())
    }

    fn step(&mut self) -> Step<()> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        match bytes[0] {
            b'0'..=b'9' => self.number(),
            b'.' if bytes.get(1).is_some_and(u8::is_ascii_digit) => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' => {
                let length = bytes.iter().take_while(|c| c.is_ascii_alphabetic()).count();
                let token =
                    if length == 1 { Token::Letter(bytes[0].into()) } else { Token::Word(&rest[..length]) };
                self.push(token, length)
            }
            b'\\' => self.backslash(),
            b' ' | b'\t' | b'\n' | b'\r' | b'~' => {
                self.at += 1;
                Ok(())
            }
            b'*' if bytes.get(1) == Some(&b'*') => self.push(Token::Sign('^'), 2),
            b'<' | b'>' | b'!' if bytes.get(1) == Some(&b'=') => {
                let sign = match bytes[0] {
                    b'<' => sign::AT_MOST,
                    b'>' => sign::AT_LEAST,
                    _ => sign::UNEQUAL,
                };
                self.push(Token::Sign(sign), 2)
            }
            b'.' if bytes.get(1) == Some(&b'.') => {
                let length = bytes.iter().take_while(|c| **c == b'.').count();
                self.push(Token::Sign(sign::ELLIPSIS), length)
            }
            c @ (b'+' | b'-' | b'*' | b'/' | b'^' | b'_' | b'!' | b'{' | b'}' | b',' | b';' | b':' | b'|'
            | b'=' | b'<' | b'>' | b'&' | b'%' | b'\'' | b'.') => self.push(Token::Sign(c.into()), 1),
            c @ (b'(' | b'[') => {
                self.brackets += 1;
                self.push(Token::Sign(c.into()), 1)
            }
            c @ (b')' | b']') => {
                self.brackets = self.brackets.saturating_sub(1);
                self.push(Token::Sign(c.into()), 1)
            }
            b'$' => {
                // A lone dollar before a number is money; pairs of them were removed before.
                self.push(Token::Sign('$'), 1)
            }
            0..=127 => Err(Stop::Unsupported("a character that is not mathematics")),
            _ => self.unicode(),
        }
    }

    fn unicode(&mut self) -> Step<()> {
        let c = self.rest().chars().next().unwrap_or(' ');
        let length = c.len_utf8();
        let sign = match c {
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
                self.at += length;
                return Ok(());
            }
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{ad}' => {
                return self.hidden(length);
            }
            '\u{ff10}'..='\u{ff19}' => return Err(Stop::Unsupported("full-width digits")),
            '\u{2212}' | '\u{2013}' | '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{ff0d}' | '\u{fe63}' => '-',
            '\u{ff0b}' => '+',
            '\u{ff1d}' => '=',
            '\u{d7}' | '\u{b7}' | '\u{22c5}' | '\u{2219}' | '\u{2217}' | '\u{2022}' => '*',
            '\u{f7}' | '\u{2215}' | '\u{2044}' => '/',
            sign::AT_MOST | '\u{2a7d}' => sign::AT_MOST,
            sign::AT_LEAST | '\u{2a7e}' => sign::AT_LEAST,
            sign::UNEQUAL
            | sign::PLUS_MINUS
            | sign::MINUS_PLUS
            | sign::INFINITY
            | sign::RADICAL
            | sign::DEGREE
            | sign::UNION
            | sign::INTERSECTION
            | sign::MEMBER
            | sign::ABOUT
            | sign::ELLIPSIS
            | sign::EMPTY => c,
            '\u{2032}' | '\u{2019}' => '\'',
            sign::EURO | sign::POUND | sign::YEN => c,
            '\u{bd}' | '\u{2153}' | '\u{2154}' | '\u{bc}' | '\u{be}' | '\u{2155}' | '\u{2156}'
            | '\u{2157}' | '\u{2158}' | '\u{2159}' | '\u{215a}' | '\u{215b}' | '\u{215c}' | '\u{215d}'
            | '\u{215e}' => c,
            '\u{2070}' | '\u{b9}' | '\u{b2}' | '\u{b3}' | '\u{2074}'..='\u{2079}' | '\u{207b}' => {
                return self.superscript();
            }
            sign::REALS | '\u{2124}' | '\u{211a}' | '\u{2115}' | '\u{2102}' => {
                return self.push(Token::Letter(c), length);
            }
            _ if c.is_alphabetic() => return self.push(Token::Letter(c), length),
            _ => return Err(Stop::Unsupported("a character that is not mathematics")),
        };
        self.push(Token::Sign(sign), length)
    }

    /// A control character that shows nothing is dropped between tokens and refused inside one.
    fn hidden(&mut self, length: usize) -> Step<()> {
        let before = self.text[..self.at].chars().next_back();
        let after = self.rest()[length..].chars().next();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '.' || c == '\\');
        if joins(before) && joins(after) {
            return Err(Stop::Unsupported("a hidden character inside a number or a word"));
        }
        self.at += length;
        Ok(())
    }

    /// `x` with superscript digits: the digits stay where they are, the parser reads them as an exponent.
    fn superscript(&mut self) -> Step<()> {
        let is_superscript = |c: char| {
            matches!(c, '\u{2070}' | '\u{b9}' | '\u{b2}' | '\u{b3}' | '\u{2074}'..='\u{2079}' | '\u{207b}')
        };
        let length = self.rest().chars().take_while(|&c| is_superscript(c)).map(char::len_utf8).sum();
        self.tokens.push(Token::Sign('^'));
        self.push(Token::Number(&self.rest()[..length]), length)
    }

    fn number(&mut self) -> Step<()> {
        let length = number_length(self.rest(), self.brackets == 0);
        if length > self.budget.digits {
            return Err(Stop::Limit("digits"));
        }
        self.push(Token::Number(&self.rest()[..length]), length)
    }

    fn backslash(&mut self) -> Step<()> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let Some(&next) = bytes.get(1) else {
            self.at += 1; // a backslash at the very end is a typing slip
            return Ok(());
        };
        match next {
            b'a'..=b'z' | b'A'..=b'Z' => self.command(),
            b'{' => {
                self.brackets += 1;
                self.push(Token::SetOpen, 2)
            }
            b'}' => {
                self.brackets = self.brackets.saturating_sub(1);
                self.push(Token::SetClose, 2)
            }
            b'%' | b'$' | b'&' | b'_' => self.push(Token::Sign(next.into()), 2),
            b'|' => self.push(Token::Sign(sign::DOUBLE_BAR), 2),
            b'\\' if self.environments > 0 => self.push(Token::Row, 2),
            // Outside an environment a doubled backslash is one that was escaped once too often.
            b'\\' => {
                self.at += 1;
                Ok(())
            }
            b',' | b';' | b':' | b'!' | b' ' | b'\n' | b'(' | b')' | b'[' | b']' | b'/' | b'-' => {
                self.at += 2;
                Ok(())
            }
            _ => Err(Stop::Unsupported("an unknown LaTeX escape")),
        }
    }

    fn command(&mut self) -> Step<()> {
        let rest = self.rest();
        let name_length = rest.as_bytes()[1..].iter().take_while(|c| c.is_ascii_alphabetic()).count();
        let name = &rest[1..1 + name_length];
        self.at += 1 + name_length;
        let sign = match name {
            "left" | "right" => {
                let after = self.rest().trim_start();
                if after.starts_with('.') {
                    self.at = self.text.len() - after.len() + 1;
                }
                return Ok(());
            }
            "big" | "Big" | "bigg" | "Bigg" | "bigl" | "bigr" | "Bigl" | "Bigr" | "biggl" | "biggr"
            | "Biggl" | "Biggr" | "displaystyle" | "textstyle" | "limits" | "thinspace" | "enspace"
            | "space" | "rm" | "bf" | "it" | "hspace" | "nonumber" | "hline" | "boldsymbol" | "bm"
            | "middle" => {
                return Ok(());
            }
            "text" | "textbf" | "textit" | "textrm" | "textnormal" | "mbox" | "mathrm" | "mathbf"
            | "mathit" | "mathsf" | "mathcal" | "mathbb" | "operatorname" | "textsf" | "emph" | "vec"
            | "overrightarrow" | "hat" | "widehat" => return self.styled(name),
            // A wide gap separates answers: `y = x \quad y = -x`.
            "quad" | "qquad" => {
                let gap = matches!(self.tokens.last(), Some(last) if !matches!(last, Token::Sign(',' | ';' | '&') | Token::Row | Token::Text(_) | Token::Begin(_)));
                if gap && self.environments == 0 && self.brackets == 0 {
                    self.tokens.push(Token::Text(" "));
                }
                return Ok(());
            }
            "begin" | "end" => return self.environment(name),
            "dfrac" | "tfrac" | "cfrac" | "frac" => return self.push(Token::Command("frac"), 0),
            "cdot" | "times" | "ast" | "cdotp" => '*',
            "bullet" => return Err(Stop::Unsupported("a dot product")),
            "div" => '/',
            "le" | "leq" | "leqslant" => sign::AT_MOST,
            "ge" | "geq" | "geqslant" => sign::AT_LEAST,
            "lt" => '<',
            "gt" => '>',
            "ne" | "neq" => sign::UNEQUAL,
            "pm" => sign::PLUS_MINUS,
            "mp" => sign::MINUS_PLUS,
            "cup" => sign::UNION,
            "cap" => sign::INTERSECTION,
            "in" => sign::MEMBER,
            "infty" => sign::INFINITY,
            "approx" | "simeq" | "doteq" => sign::ABOUT,
            "degree" => sign::DEGREE,
            "lbrace" => {
                self.brackets += 1;
                return self.push(Token::SetOpen, 0);
            }
            "rbrace" => {
                self.brackets = self.brackets.saturating_sub(1);
                return self.push(Token::SetClose, 0);
            }
            "lbrack" => '[',
            "rbrack" => ']',
            "lparen" => '(',
            "rparen" => ')',
            "mid" | "vert" | "lvert" | "rvert" => '|',
            "langle" => sign::ANGLE_OPEN,
            "rangle" => sign::ANGLE_CLOSE,
            "colon" => ':',
            "ldots" | "dots" | "cdots" | "dotsc" | "dotsb" => sign::ELLIPSIS,
            "emptyset" | "varnothing" => sign::EMPTY,
            "percent" => '%',
            "prime" => '\'',
            "surd" => sign::RADICAL,
            "lor" | "vee" => return self.push(Token::Word("or"), 0),
            "land" | "wedge" => return self.push(Token::Word("and"), 0),
            _ => return self.push(Token::Command(name), 0),
        };
        self.push(Token::Sign(sign), 0)
    }

    /// `\text{..}`, `\mathbf{..}`: one letter is a letter, a known function name is that function, all else
    /// is text.
    fn styled(&mut self, name: &str) -> Step<()> {
        let rest = self.rest().trim_start();
        self.at = self.text.len() - rest.len();
        let Some(inner) = rest.strip_prefix('{') else {
            return Ok(()); // `\mathbf x`: the style of the next token only
        };
        let length = balanced(inner).ok_or(Stop::Unsupported("an unclosed brace"))?;
        let content = &inner[..length];
        let bare = content.trim_matches([' ', '~']);
        let mut letters = bare.chars();
        let symbol_style =
            matches!(name, "mathbf" | "mathit" | "mathcal" | "mathbb" | "mathsf" | "textit" | "vec" | "hat");
        match (letters.next(), letters.next()) {
            (Some(c @ ('R' | 'Z' | 'Q' | 'N' | 'C')), None) if name == "mathbb" => {
                self.tokens.push(Token::Letter(blackboard(c)));
            }
            (Some(c), None) if c.is_alphabetic() && symbol_style => self.tokens.push(Token::Letter(c)),
            (Some('i' | 'e' | 'd'), None) if name == "mathrm" => {
                self.tokens.extend(bare.chars().next().map(Token::Letter));
            }
            (None, _) => {}
            _ if (name == "operatorname" && is_function(bare))
                || (matches!(name, "mathrm" | "text" | "mathit") && is_elementary(bare)) =>
            {
                self.tokens.push(Token::Command(bare));
            }
            // Styled mathematics (`\mathbf{x+1}`, `\text{13}`) is read as if it had no style.
            _ if !bare.contains(|c: char| c.is_alphabetic()) || bare.contains('\\') || symbol_style => {
                return {
                    self.at += 0;
                    Ok(())
                };
            }
            _ => self.tokens.push(Token::Text(content)),
        }
        self.at += length + 2;
        Ok(())
    }

    fn environment(&mut self, which: &str) -> Step<()> {
        let rest = self.rest().trim_start();
        let inner = rest.strip_prefix('{').ok_or(Stop::Unsupported("an environment without a name"))?;
        let length = balanced(inner).ok_or(Stop::Unsupported("an unclosed brace"))?;
        self.at = self.text.len() - rest.len() + length + 2;
        let name = inner[..length].trim_end_matches('*');
        if which == "begin" {
            self.environments += 1;
            if name == "array" || name == "tabular" {
                let rest = self.rest().trim_start();
                if let Some(columns) = rest.strip_prefix('{') {
                    let length = balanced(columns).ok_or(Stop::Unsupported("an unclosed brace"))?;
                    self.at = self.text.len() - rest.len() + length + 2;
                }
            }
            self.tokens.push(Token::Begin(name));
        } else {
            self.environments = self.environments.saturating_sub(1);
            self.tokens.push(Token::End(name));
        }
        Ok(())
    }
}

/// The letter of a set of numbers.
fn blackboard(letter: char) -> char {
    match letter {
        'R' => sign::REALS,
        'Z' => '\u{2124}',
        'Q' => '\u{211a}',
        'N' => '\u{2115}',
        _ => '\u{2102}',
    }
}

/// Functions that are meant also where they are set like text (`\mathrm{ln}`, but not `\mathrm{min}`,
/// minutes).
fn is_elementary(name: &str) -> bool {
    is_function(name)
        && !matches!(
            name,
            "max"
                | "min"
                | "gcd"
                | "lcm"
                | "det"
                | "mod"
                | "arg"
                | "dim"
                | "sgn"
                | "sum"
                | "lim"
                | "int"
                | "floor"
        )
}

/// Names that are functions or constants with or without a backslash.
pub(crate) fn is_function(name: &str) -> bool {
    matches!(
        name,
        "sin"
            | "cos"
            | "tan"
            | "cot"
            | "sec"
            | "csc"
            | "arcsin"
            | "arccos"
            | "arctan"
            | "asin"
            | "acos"
            | "atan"
            | "sinh"
            | "cosh"
            | "tanh"
            | "ln"
            | "log"
            | "lg"
            | "exp"
            | "sqrt"
            | "cosec"
            | "floor"
            | "ceil"
            | "abs"
            | "max"
            | "min"
            | "gcd"
            | "lcm"
            | "det"
            | "mod"
            | "cis"
            | "arg"
            | "dim"
            | "sgn"
            | "sum"
            | "lim"
            | "int"
    )
}

/// The length of the text before the brace that closes an already opened one.
pub(crate) fn balanced(inner: &str) -> Option<usize> {
    let bytes = inner.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The length of the number at the start of `rest`.
///
/// Thousands may be separated by `,`, `{,}`, `,\!`, `\,`, `\!`, `\ `, a space or a thin space, always by
/// groups of exactly three digits after a first group of one to three; the plain comma only where `commas`
/// is set.
fn number_length(rest: &str, commas: bool) -> usize {
    let bytes = rest.as_bytes();
    let digits =
        |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|c| c.is_ascii_digit()).count();
    let first = digits(0);
    let mut end = first;
    if (1..=3).contains(&first) && bytes[0] != b'0' {
        while let Some(gap) = thousands_gap(&rest[end..], commas) {
            if digits(end + gap) != 3 {
                break;
            }
            // "2 125/1000" is a mixed number, not 2125/1000.
            let plain_space = bytes[end] == b' ';
            if plain_space && matches!(bytes.get(end + gap + 3), Some(b'/')) {
                break;
            }
            end += gap + 3;
        }
    }
    if bytes.get(end) == Some(&b'.') {
        let places = digits(end + 1);
        let after = end + 1 + places;
        if let Some((length, _)) = repetend(&rest[after.min(rest.len())..], places) {
            return after + length;
        }
        // `1./3` has a point that belongs to the numeral.
        if places > 0 || bytes.get(after) == Some(&b'/') {
            end = after;
        }
    }
    end + exponent_length(&rest[..end], &bytes[end..])
}

/// The length and the digits of the repeating part that follows so many decimals: `\overline{3}`, `\bar{3}`,
/// `\dot{3}`, `\dot{1}4285\dot{7}`, and `(3)` right after the point (`0.1(6)` may be a product).
pub(crate) fn repetend(rest: &str, places: usize) -> Option<(usize, String)> {
    if let Some(inner) = rest.strip_prefix('(').filter(|_| places == 0) {
        let digits = leading_digits(inner);
        return (!digits.is_empty() && inner[digits.len()..].starts_with(')'))
            .then(|| (digits.len() + 2, digits.to_owned()));
    }
    if let Some(line) = ["overline", "bar"].iter().find_map(|name| accented(rest, name)) {
        return Some((line.0, line.1.to_owned()));
    }
    let (first, digit) = accented(rest, "dot").filter(|(_, digit)| digit.len() == 1)?;
    let between = leading_digits(&rest[first..]);
    let end = first + between.len();
    match accented(&rest[end..], "dot").filter(|(_, digit)| digit.len() == 1) {
        Some((second, last)) => Some((end + second, format!("{digit}{between}{last}"))),
        // `0.\dot{3}6` has a digit after the last one that repeats.
        None => between.is_empty().then(|| (first, digit.to_owned())),
    }
}

/// The length and the digits of `\name{digits}`, or of `\name` with one digit.
fn accented<'a>(rest: &'a str, name: &str) -> Option<(usize, &'a str)> {
    let inner = rest.strip_prefix('\\')?.strip_prefix(name)?.trim_start_matches(' ');
    let before = rest.len() - inner.len();
    let (digits, length) = match inner.strip_prefix('{') {
        Some(inner) => {
            let digits = leading_digits(inner);
            (digits, inner[digits.len()..].starts_with('}').then_some(digits.len() + 2)?)
        }
        None => (inner.get(..1).filter(|digit| digit.as_bytes()[0].is_ascii_digit())?, 1),
    };
    (!digits.is_empty()).then_some((before + length, digits))
}

fn leading_digits(text: &str) -> &str {
    &text[..text.bytes().take_while(u8::is_ascii_digit).count()]
}

/// The digits that repeat in decimals that end in dots: the shortest period that was written at least three
/// times right before the dots. Fewer may be the first digits of anything.
pub(crate) fn period(decimals: &str) -> Option<&str> {
    let digits = decimals.as_bytes();
    let repeats = |length: &usize| {
        let end = digits.len() - length;
        let last = &digits[end..];
        digits[end - length..end] == *last && digits[end - 2 * length..end - length] == *last
    };
    (1..=digits.len() / 3).find(repeats).map(|length| &decimals[digits.len() - length..])
}

fn thousands_gap(rest: &str, commas: bool) -> Option<usize> {
    let mut at = 0;
    let starts = |at: usize, what: &str| rest[at..].starts_with(what);
    if starts(0, "{,}") {
        at = 3;
    } else if starts(0, ",") {
        if !commas && !starts(1, "\\!") {
            return None;
        }
        at = 1;
        let spaces = rest[at..].bytes().take_while(|&c| c == b' ').count();
        if starts(at + spaces, "\\!") {
            at += spaces;
        }
    } else if !["\\,", "\\!", "\\ ", "\\;", "\\:", " ", "\u{2009}", "\u{202f}", "\u{a0}"]
        .iter()
        .any(|s| starts(0, s))
    {
        return None;
    }
    while let Some(space) =
        ["\\,", "\\!", "\\ ", "\\;", "\\:", "\u{2009}", "\u{202f}", "\u{a0}"].iter().find(|s| starts(at, s))
    {
        at += space.len();
    }
    if at == 0 {
        at = 1; // one plain space
    } else if starts(at, " ") && rest.as_bytes()[at - 1] == b'!' {
        at += 1;
    }
    Some(at)
}

/// `1.5e-7` is a power of ten, `2e+1` may well be twice Euler's number plus one. Read as a power of ten
/// where the exponent has no sign, or the mantissa is 1 or has a decimal point, or the exponent has two
/// digits.
fn exponent_length(mantissa: &str, after: &[u8]) -> usize {
    if !matches!(after.first(), Some(b'e' | b'E')) {
        return 0;
    }
    let signed = matches!(after.get(1), Some(b'+' | b'-'));
    let digits = after[1 + usize::from(signed)..].iter().take_while(|c| c.is_ascii_digit()).count();
    let clear = !signed || mantissa == "1" || mantissa.contains('.') || digits >= 2;
    if digits > 0 && clear { 1 + usize::from(signed) + digits } else { 0 }
}
