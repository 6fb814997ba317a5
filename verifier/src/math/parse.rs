//! Tokens to a typed answer: recursive descent for the structures, precedence climbing for the arithmetic.
//!
//! What the grammar does with ambiguous spellings (what it refuses it refuses by name, as `Unsupported`):
//!
//! | written | read as |
//! |---|---|
//! | `1,234` outside brackets | 1234; `(1,234)` is a pair, `1, 234` a list |
//! | `3\frac12`, `3 1/2` | mixed number where the fraction is proper; refused otherwise |
//! | `1/2x`, `1/2\sqrt3` | (1/2)x: left to right after a numeral; `1/xy` is refused |
//! | `\frac34`, `\sqrt2` | TeX's rule: one token each; `\sqrt34` is refused |
//! | `\sin 2x y` | sin(2xy): juxtaposed factors up to the next operator or function |
//! | `f(x)`, `g(2)` | application of f, g, h (also capital); any other letter multiplies |
//! | `e`, `i` | Euler's number, the imaginary unit |
//! | `0.\overline3`, `0.\dot3`, `0.(3)`, `0.333...` | one third; dots need three periods before them |
//! | `3.14159...`, `0.1(6)` | refused: the first digits of something; a period or a product |
//! | `1e-7`, `2e+1` | power of ten; twice Euler's number plus one (see `lex`) |
//! | `2^10`, `x^2y` | exponent is one whole numeral, else one token |
//! | `(a,b)` | pair; also the open interval where the other side is an interval |

use super::ast::{Ast, Function, Interval, ListKind, Number, Relation};
use super::budget::{Budget, Step, Stop};
use super::lex::{self, Token, sign};
use super::units::{Unit, UnitPart};
use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;
use std::sync::Arc;

/// Reads a whole answer.
pub(crate) fn answer(text: &str, budget: &Budget) -> Step<Ast> {
    let text = unwrap(text);
    if text.is_empty() {
        return Err(Stop::Unsupported("nothing is written"));
    }
    if text.len() > budget.answer_bytes {
        return Err(Stop::Limit("answer length"));
    }
    if let Some(words) = words_only(text).or_else(|| time_or_date(text)) {
        return Ok(words);
    }
    let cleaned;
    let text = if text.contains('$') {
        cleaned = without_math_dollars(text);
        &cleaned
    } else {
        text
    };
    let tokens = lex::tokens(text, budget)?;
    let mut parser =
        Parser { tokens: &tokens, at: 0, split: 0, depth: 0, bars: 0, approximate: false, budget };
    parser.whole()
}

/// Strips what only wraps an answer: spaces, a final full stop, `$..$`, `\(..\)`, `\[..\]`, `\boxed{..}`,
/// `**..**`, and the list literal `['..']` some files keep answers in.
pub(crate) fn unwrap(text: &str) -> &str {
    let mut text = text.trim();
    for _ in 0..6 {
        let before = text;
        if let Some(inner) = text.strip_prefix("['").and_then(|t| t.strip_suffix("']"))
            && !inner.contains("', '")
        {
            text = inner.trim_end_matches("\\n").trim();
        }
        if text.ends_with('.') && !text.ends_with("..") && !text.ends_with("right.") {
            text = text[..text.len() - 1].trim_end();
        }
        for (open, close) in [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**")] {
            if text.len() >= open.len() + close.len()
                && let Some(inner) = text.strip_prefix(open).and_then(|t| t.strip_suffix(close))
                && !inner.contains(open)
                && !inner.ends_with('\\')
            {
                text = inner.trim();
            }
        }
        for head in ["\\boxed{", "\\fbox{"] {
            if let Some(inner) = text.strip_prefix(head)
                && closes_at_end(inner)
            {
                text = inner[..inner.len() - 1].trim();
            }
        }
        if text == before {
            break;
        }
    }
    text
}

/// Whether the brace that closes what was opened before is the last character.
fn closes_at_end(inner: &str) -> bool {
    lex::balanced(inner).is_some_and(|end| end + 1 == inner.len())
}

/// `$x=1$ or $x=2$`: an even number of unescaped dollars delimits formulas, an odd one means money.
fn without_math_dollars(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_delimiter = |at: usize| bytes[at] == b'$' && (at == 0 || bytes[at - 1] != b'\\');
    let count = (0..bytes.len()).filter(|&at| is_delimiter(at)).count();
    if count % 2 == 1 {
        return text.to_owned();
    }
    text.char_indices().map(|(at, c)| if c == '$' && is_delimiter(at) { ' ' } else { c }).collect()
}

/// An answer that is nothing but words: `Friday`, `\text{(B)}`, `\textbf{No solution}`.
fn words_only(text: &str) -> Option<Ast> {
    let first = *text.as_bytes().first()?;
    if !(first == b'\\' || first == b'(' || first.is_ascii_alphabetic()) {
        return None;
    }
    let mut inner = text;
    let mut styled = false;
    for head in [
        "\\text{",
        "\\textbf{",
        "\\mbox{",
        "\\mathrm{",
        "\\textit{",
        "\\mathbf{",
        "\\operatorname{",
        "\\textrm{",
    ] {
        if let Some(rest) = inner.strip_prefix(head)
            && closes_at_end(rest)
        {
            inner = rest[..rest.len() - 1].trim_matches([' ', '~']);
            styled = true;
            break;
        }
    }
    let letter = |text: &str| text.len() == 1 && text.as_bytes()[0].is_ascii_alphabetic();
    let bare = inner.trim_start_matches('(').trim_end_matches(')');
    if letter(bare)
        && (styled || inner.starts_with('(') && inner.ends_with(')'))
        && bare.as_bytes()[0].is_ascii_uppercase()
    {
        return Some(Ast::Text(bare.to_owned()));
    }
    if styled {
        let plain = inner
            .chars()
            .all(|c| c.is_alphabetic() || matches!(c, ' ' | ',' | '-' | '\'' | '.' | '(' | ')' | '&'));
        let has_letter = inner.chars().any(char::is_alphabetic);
        return (plain && has_letter && !lex::is_function(inner) && !letter(inner))
            .then(|| Ast::Text(inner.to_owned()));
    }
    let mut words = 0;
    for word in text.split([' ', '-']).filter(|word| !word.is_empty()) {
        if !word.chars().all(|c| c.is_ascii_alphabetic() || c == '\'') || lex::is_function(word) {
            return None;
        }
        words += 1;
    }
    let joined = text.split(' ').any(|word| matches!(word, "or" | "and"));
    let is_word = words > 1 || (text.len() > 3 && !is_constant_name(text)) || is_short_word(text);
    (is_word && !(joined && words <= 3)).then(|| Ast::Text(text.to_owned()))
}

/// Two or three letters that nobody writes as a word or a unit: `xy`, `abc`, `mn`.
fn is_letters(word: &str) -> bool {
    let letters = match word.len() {
        2 => word.bytes().all(|c| b"abcmnpqrstuvwxyzk".contains(&c)),
        3 => word == "abc" || word.bytes().all(|c| b"bcmnpqrstvwxyzk".contains(&c)),
        _ => false,
    };
    letters
        && !matches!(
            word,
            "am" | "pm" | "an" | "as" | "at" | "by" | "my" | "us" | "vs" | "pt" | "qt" | "mm" | "cm" | "ms"
        )
}

fn is_constant_name(word: &str) -> bool {
    matches!(
        word,
        "infinity" | "infty" | "alpha" | "beta" | "gamma" | "delta" | "theta" | "lambda" | "omega" | "sigma"
    )
}

/// `1:03 PM`, `June 20`: words with a number in them that are one answer.
fn time_or_date(text: &str) -> Option<Ast> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    if text.len() > 40
        || !(text.contains(':') || text.starts_with("\\text{") || text.as_bytes()[0].is_ascii_uppercase())
    {
        return None;
    }
    let mut plain = text.to_ascii_lowercase();
    for mark in ["\\!", "\\text{", "\\mbox{", "\\,", "}", ".", "~"] {
        plain = plain.replace(mark, "");
    }
    let squeezed: String = plain.chars().filter(|c| !c.is_whitespace()).collect();
    let day_half = squeezed.strip_suffix("am").or(squeezed.strip_suffix("pm"));
    let is_time = day_half.is_some_and(|clock| {
        let (hours, minutes) = clock.split_once(':').unwrap_or((clock, "00"));
        (1..=2).contains(&hours.len())
            && minutes.len() == 2
            && hours.bytes().chain(minutes.bytes()).all(|c| c.is_ascii_digit())
    });
    let mut words = plain.split_whitespace();
    let (month, day, rest) = (words.next()?, words.next(), words.next());
    let is_date =
        MONTHS.iter().any(|name| month.starts_with(name) && month.bytes().all(|c| c.is_ascii_lowercase()))
            && day.is_some_and(|day| day.len() <= 2 && day.bytes().all(|c| c.is_ascii_digit()))
            && rest.is_none();
    if is_time {
        Some(Ast::Text(squeezed))
    } else if is_date {
        Some(Ast::Text(plain.trim().to_owned()))
    } else {
        None
    }
}

/// Words of up to three letters that are not products of variables.
fn is_short_word(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    matches!(
        lower.as_str(),
        "yes"
            | "no"
            | "odd"
            | "one"
            | "two"
            | "six"
            | "ten"
            | "all"
            | "any"
            | "sat"
            | "sun"
            | "mon"
            | "tue"
            | "wed"
            | "thu"
            | "fri"
            | "red"
            | "dne"
            | "aas"
            | "asa"
            | "sas"
            | "sss"
            | "may"
            | "jan"
            | "feb"
            | "mar"
            | "apr"
            | "jun"
            | "jul"
            | "aug"
            | "sep"
            | "oct"
            | "nov"
            | "dec"
            | "tie"
            | "win"
            | "ann"
            | "bob"
            | "kim"
            | "nan"
            | "inf"
    )
}

struct Parser<'a, 'b> {
    tokens: &'b [Token<'a>],
    at: usize,
    /// Bytes of the number at `at` that were used up as a one-digit argument (`\frac34`).
    split: usize,
    depth: u32,
    /// Open `|`: inside them a bar closes.
    bars: u32,
    /// After an "approximately": decimals that end in dots say what they mean there.
    approximate: bool,
    budget: &'b Budget,
}

const END: Stop = Stop::Unsupported("the answer ends too early");
const STRAY: Stop = Stop::Unsupported("a sign where none belongs");

impl<'a> Parser<'a, '_> {
    fn peek(&self) -> Option<Token<'a>> {
        match self.tokens.get(self.at).copied() {
            Some(Token::Number(text)) if self.split > 0 => Some(Token::Number(&text[self.split..])),
            token => token,
        }
    }

    fn peek_after(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at + 1).copied()
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.at += 1;
        self.split = 0;
        token
    }

    fn eat(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(Token::Sign(sign));
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, sign: char) -> Step<()> {
        if self.eat(sign) { Ok(()) } else { Err(Stop::Unsupported("an unclosed bracket")) }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        self.depth += 1;
        if self.depth > self.budget.depth {
            return Err(Stop::Limit("nesting"));
        }
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn whole(&mut self) -> Step<Ast> {
        let answer = self.list()?;
        self.eat('.');
        if self.at < self.tokens.len() {
            return Err(match self.peek() {
                Some(Token::Text(_) | Token::Word(_)) => Stop::Unsupported("words around the value"),
                Some(Token::Number(_)) => Stop::Unsupported("two numbers side by side"),
                Some(Token::Sign(sign::ELLIPSIS)) => Stop::Unsupported("a list that is not written out"),
                Some(Token::Sign(sign::ABOUT)) => Stop::Unsupported("an approximation"),
                _ => STRAY,
            });
        }
        Ok(answer)
    }

    /// Items joined by commas, semicolons, "and", "or".
    fn list(&mut self) -> Step<Ast> {
        let first = self.relation()?;
        let mut items = vec![first];
        let mut kind = ListKind::Comma;
        loop {
            let mut separated = self.eat(',') || self.eat(';');
            if let Some(Token::Text(word) | Token::Word(word)) = self.peek()
                && matches!(word.trim_matches([' ', '~', ',', ';']), "or" | "and" | "," | ";")
            {
                self.at += 1;
                let joined = if word.contains("or") { ListKind::Or } else { ListKind::Words };
                kind = if kind == ListKind::Comma || kind == joined { joined } else { ListKind::Words };
                separated = true;
            }
            if !separated {
                break;
            }
            if self.peek().is_none() {
                return Err(END);
            }
            items.push(self.relation()?);
            if items.len() > self.budget.items {
                return Err(Stop::Limit("items of a list"));
            }
        }
        Ok(if items.len() == 1 { items.swap_remove(0) } else { Ast::List(items, kind) })
    }

    fn relation(&mut self) -> Step<Ast> {
        let mut terms = vec![self.union()?];
        let mut relations = Vec::new();
        while let Some(Token::Sign(sign)) = self.peek() {
            let relation = match sign {
                '=' => Relation::Equal,
                sign::UNEQUAL => Relation::NotEqual,
                '<' => Relation::Less,
                sign::AT_MOST => Relation::LessEqual,
                '>' => Relation::Greater,
                sign::AT_LEAST => Relation::GreaterEqual,
                sign::MEMBER => Relation::Member,
                sign::ABOUT => Relation::Approximately,
                _ => break,
            };
            self.at += 1;
            relations.push(relation);
            self.approximate = relation == Relation::Approximately;
            terms.push(self.union()?);
            self.approximate = false;
            if terms.len() > self.budget.items {
                return Err(Stop::Limit("members of a chain"));
            }
        }
        Ok(if relations.is_empty() { terms.swap_remove(0) } else { Ast::Relation(terms, relations) })
    }

    fn union(&mut self) -> Step<Ast> {
        let first = self.ratio()?;
        if self.peek() == Some(Token::Sign(sign::INTERSECTION)) {
            return Err(Stop::Unsupported("an intersection"));
        }
        if self.peek() != Some(Token::Sign(sign::UNION)) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.eat(sign::UNION) {
            parts.push(self.ratio()?);
            if parts.len() > self.budget.items {
                return Err(Stop::Limit("parts of a union"));
            }
        }
        Ok(Ast::Union(parts))
    }

    fn ratio(&mut self) -> Step<Ast> {
        let first = self.quantity()?;
        if self.peek() != Some(Token::Sign(':')) {
            return Ok(first);
        }
        let mut parts = vec![first];
        let mut minutes = false;
        while self.eat(':') {
            minutes |= matches!(self.peek(), Some(Token::Number(text)) if text.len() == 2);
            parts.push(self.quantity()?);
            if parts.len() > 8 {
                return Err(Stop::Limit("parts of a ratio"));
            }
        }
        Ok(Ast::Ratio(parts, minutes))
    }

    /// A value with the sign or unit that may stand around it.
    fn quantity(&mut self) -> Step<Ast> {
        let negative = self.peek() == Some(Token::Sign('-'))
            && matches!(self.peek_after(), Some(Token::Sign('$' | sign::EURO | sign::POUND | sign::YEN)));
        if negative {
            self.at += 1;
        }
        let currency = match self.peek() {
            Some(Token::Sign('$')) => Some(Unit::dollars()),
            Some(Token::Sign(c @ (sign::EURO | sign::POUND | sign::YEN))) => Some(Unit::Label(c.to_string())),
            _ => None,
        };
        if currency.is_some() {
            self.at += 1;
        }
        let mut value = self.sum()?;
        if negative {
            value = Ast::Negative(Box::new(value));
        }
        if let Some(Token::Text(word) | Token::Word(word)) = self.peek()
            && word.trim_matches([' ', '~']) == "percent"
        {
            self.at += 1;
            value = Ast::Percent(Box::new(value));
        }
        let unit = self.unit()?;
        match (currency, unit) {
            (Some(unit), None | Some(Unit::Label(_))) | (None, Some(unit)) => {
                Ok(Ast::Quantity(Box::new(value), unit))
            }
            (Some(a), Some(b)) if a == b => Ok(Ast::Quantity(Box::new(value), a)),
            (Some(_), Some(_)) => Err(Stop::Unsupported("two units")),
            (None, None) => Ok(value),
        }
    }

    fn unit(&mut self) -> Step<Option<Unit>> {
        let mut parts: Vec<UnitPart<'a>> = Vec::new();
        let start = self.at;
        loop {
            match self.peek() {
                Some(Token::Text(words) | Token::Word(words)) => {
                    if matches!(words.trim_matches([' ', '~', ',', ';']), "or" | "and" | "," | ";" | "") {
                        break;
                    }
                    parts.push(UnitPart::Words(words));
                    self.at += 1;
                }
                Some(Token::Sign('^')) if !parts.is_empty() => {
                    self.at += 1;
                    let braced = self.eat('{');
                    let negative = self.eat('-');
                    let Some(Token::Number(digits)) = self.next() else { return Err(STRAY) };
                    let power: i8 = superscript_value(digits).ok_or(Stop::Unsupported("an unknown unit"))?;
                    if braced {
                        self.expect('}')?;
                    }
                    parts.push(UnitPart::Power(if negative { -power } else { power }));
                }
                Some(Token::Sign('/')) if !parts.is_empty() => {
                    parts.push(UnitPart::Per);
                    self.at += 1;
                }
                Some(Token::Sign('*')) if !parts.is_empty() => {
                    parts.push(UnitPart::Times);
                    self.at += 1;
                }
                Some(Token::Letter(_)) if !parts.is_empty() && self.at > start => {
                    return Err(Stop::Unsupported("words around the value"));
                }
                _ => break,
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        Unit::read(&parts).map(Some).ok_or(Stop::Unsupported("words around the value"))
    }

    fn sum(&mut self) -> Step<Ast> {
        let mut terms = Vec::new();
        loop {
            let mut negative = false;
            let mut plus_minus = None;
            let mut signs = 0;
            while let Some(Token::Sign(sign @ ('+' | '-' | sign::PLUS_MINUS | sign::MINUS_PLUS))) =
                self.peek()
            {
                match sign {
                    '-' => negative = !negative,
                    sign::PLUS_MINUS => plus_minus = Some(false),
                    sign::MINUS_PLUS => plus_minus = Some(true),
                    _ => {}
                }
                signs += 1;
                self.at += 1;
            }
            if signs == 0 && !terms.is_empty() {
                break;
            }
            let mut term = self.product()?;
            if negative {
                term = Ast::Negative(Box::new(term));
            }
            if let Some(flipped) = plus_minus {
                term = Ast::PlusMinus(flipped, Box::new(term));
            }
            terms.push(term);
        }
        Ok(if terms.len() == 1 { terms.swap_remove(0) } else { Ast::Sum(terms) })
    }

    fn product(&mut self) -> Step<Ast> {
        let mut value = self.power()?;
        loop {
            match self.peek() {
                Some(Token::Sign('*')) => {
                    self.at += 1;
                    let factor = self.signed_power()?;
                    value = times(value, factor);
                }
                Some(Token::Sign('/')) => {
                    self.at += 1;
                    let numeral = matches!(self.peek(), Some(Token::Number(_)));
                    if let Some(Token::Word(word)) = self.peek()
                        && is_letters(word)
                    {
                        return Err(Stop::Unsupported("an ambiguous division: write brackets"));
                    }
                    let divisor = self.signed_power()?;
                    let bare_number = numeral && matches!(divisor, Ast::Number(_));
                    if !bare_number && self.starts_factor() && !matches!(divisor, Ast::Number(_)) {
                        return Err(Stop::Unsupported("an ambiguous division: write brackets"));
                    }
                    if let (true, Ast::Product(factors)) = (bare_number, &value)
                        && let [Ast::Number(_), Ast::Number(_)] = factors.as_slice()
                    {
                        return Err(STRAY);
                    }
                    value = self.wrapped(value, |x| Ast::Quotient(Box::new(x), Box::new(divisor)))?;
                }
                Some(Token::Number(_)) => value = self.mixed(value)?,
                Some(Token::Sign(sign)) if vulgar_fraction(sign).is_some() => {
                    let fraction = self.power()?;
                    value = self.mixed_number(value, fraction)?;
                }
                Some(Token::Command("frac")) if matches!(value, Ast::Number(_)) => {
                    let fraction = self.power()?;
                    value = self.mixed_number(value, fraction)?;
                }
                Some(Token::Command("pmod" | "bmod" | "mod")) => {
                    return Err(Stop::Unsupported("a congruence"));
                }
                _ if self.starts_factor() => {
                    let factor = self.power()?;
                    value = times(value, factor);
                }
                _ => return Ok(value),
            }
        }
    }

    /// A vulgar fraction sign or `1/2` after a whole number; any other number after a number is refused.
    fn mixed(&mut self, whole: Ast) -> Step<Ast> {
        let sides = Stop::Unsupported("two numbers side by side");
        // `2^{25} 26!`, `(n-2) 2^n`: after what cannot be read on as one numeral, a number is a factor.
        if matches!(whole, Ast::Power(..) | Ast::Call(..) | Ast::Root(..) | Ast::Sum(_) | Ast::Factorial(_))
            || matches!(&whole, Ast::Product(factors)
                if matches!(factors.last(), Some(Ast::Power(..) | Ast::Call(..) | Ast::Root(..) | Ast::Sum(_))))
        {
            let factor = self.power()?;
            return Ok(times(whole, factor));
        }
        let Ast::Number(_) = whole else { return Err(sides) };
        if self.peek_after() != Some(Token::Sign('/')) {
            return Err(sides);
        }
        let above = self.power()?;
        self.expect('/')?;
        let below = self.power()?;
        self.mixed_number(whole, Ast::Quotient(Box::new(above), Box::new(below)))
    }

    fn mixed_number(&mut self, whole: Ast, fraction: Ast) -> Step<Ast> {
        // A sign after the fraction belongs to the whole number too.
        match fraction {
            Ast::Percent(inner) => return Ok(Ast::Percent(Box::new(self.mixed_number(whole, *inner)?))),
            Ast::Degrees(inner) => return Ok(Ast::Degrees(Box::new(self.mixed_number(whole, *inner)?))),
            _ => {}
        }
        if let (Ast::Number(whole_number), Ast::Quotient(above, below)) = (&whole, &fraction)
            && let (Ast::Number(above), Ast::Number(below)) = (&**above, &**below)
        {
            let proper = above.value < below.value && whole_number.value.is_int();
            return if proper && whole_number.places == 0 {
                Ok(Ast::Sum(vec![whole, fraction]))
            } else {
                Err(Stop::Unsupported("neither a mixed number nor clearly a product"))
            };
        }
        Ok(times(whole, fraction))
    }

    /// A factor after `*` or `/`, which may carry a sign.
    fn signed_power(&mut self) -> Step<Ast> {
        let mut negative = false;
        while let Some(Token::Sign(sign @ ('+' | '-'))) = self.peek() {
            negative ^= sign == '-';
            self.at += 1;
        }
        let value = self.power()?;
        Ok(if negative { Ast::Negative(Box::new(value)) } else { value })
    }

    fn starts_factor(&self) -> bool {
        match self.peek() {
            Some(Token::Letter(_) | Token::SetOpen | Token::Begin(_)) => true,
            Some(Token::Word(word)) => self.is_math_word(word),
            Some(Token::Command(name)) => !matches!(
                name,
                "pmod" | "bmod" | "mod" | "to" | "Rightarrow" | "implies" | "rfloor" | "rceil"
            ),
            Some(Token::Sign(sign)) => {
                matches!(sign, '(' | '{' | sign::INFINITY | sign::RADICAL | sign::ANGLE_OPEN)
                    || vulgar_fraction(sign).is_some()
                    || (sign == '|' && self.bars == 0)
            }
            _ => false,
        }
    }

    /// Words that are mathematics after a value: functions, constants, short products of variables.
    fn is_math_word(&self, word: &str) -> bool {
        lex::is_function(word) || word == "pi" || is_constant_name(word) || is_letters(word)
    }

    /// A primary with its postfix signs and exponents.
    fn power(&mut self) -> Step<Ast> {
        let mut base = self.primary()?;
        loop {
            match self.peek() {
                Some(Token::Sign('!')) => {
                    self.at += 1;
                    if self.peek() == Some(Token::Sign('!')) {
                        return Err(Stop::Unsupported("a double factorial"));
                    }
                    base = self.wrapped(base, |x| Ast::Factorial(Box::new(x)))?;
                }
                Some(Token::Sign('%')) => {
                    self.at += 1;
                    base = self.wrapped(base, |x| Ast::Percent(Box::new(x)))?;
                }
                Some(Token::Sign(sign::DEGREE)) => {
                    self.at += 1;
                    base = self.wrapped(base, |x| Ast::Degrees(Box::new(x)))?;
                }
                Some(Token::Sign('^')) => {
                    self.at += 1;
                    if self.is_degree_sign() {
                        base = self.wrapped(base, |x| Ast::Degrees(Box::new(x)))?;
                    } else {
                        let exponent = self.deeper(Self::exponent)?;
                        base = Ast::Power(Box::new(base), Box::new(exponent));
                    }
                }
                _ => return Ok(base),
            }
        }
    }

    /// Wraps and counts the nesting: `5!!!!...` is as deep as it is long.
    fn wrapped(&mut self, base: Ast, wrap: impl FnOnce(Ast) -> Ast) -> Step<Ast> {
        self.depth += 1;
        if self.depth > self.budget.depth {
            return Err(Stop::Limit("nesting"));
        }
        Ok(wrap(base))
    }

    fn is_degree_sign(&mut self) -> bool {
        let braced = self.peek() == Some(Token::Sign('{'));
        let at = self.at + usize::from(braced);
        let found = matches!(self.tokens.get(at), Some(Token::Command("circ") | Token::Sign(sign::DEGREE)));
        if found && (!braced || self.tokens.get(at + 1) == Some(&Token::Sign('}'))) {
            self.at = at + 1 + usize::from(braced);
            return true;
        }
        false
    }

    /// One token or group after `^`, right-associative.
    fn exponent(&mut self) -> Step<Ast> {
        let mut negative = false;
        while let Some(Token::Sign(sign @ ('+' | '-'))) = self.peek() {
            negative ^= sign == '-';
            self.at += 1;
        }
        if matches!(self.peek(), Some(Token::Sign('\'' | '*'))) {
            return Err(Stop::Unsupported("a mark as exponent"));
        }
        let mut value = self.primary()?;
        if self.peek() == Some(Token::Sign('!')) {
            self.at += 1;
            value = Ast::Factorial(Box::new(value));
        }
        if self.peek() == Some(Token::Sign('^')) {
            self.at += 1;
            let above = self.deeper(Self::exponent)?;
            value = Ast::Power(Box::new(value), Box::new(above));
        }
        Ok(if negative { Ast::Negative(Box::new(value)) } else { value })
    }

    fn primary(&mut self) -> Step<Ast> {
        let token = self.peek().ok_or(END)?;
        match token {
            Token::Number(text) => self.number(text),
            Token::Letter(letter) => {
                self.at += 1;
                self.letter(letter)
            }
            Token::Word(word) => self.word(word),
            Token::Command(name) => {
                self.at += 1;
                self.deeper(|parser| parser.command(name))
            }
            Token::Text(text) => self.text(text),
            Token::SetOpen => self.deeper(Self::set),
            Token::Begin(name) => self.deeper(|parser| parser.matrix(name)),
            Token::Sign(sign) => self.deeper(|parser| parser.bracketed(sign)),
            Token::SetClose | Token::Row | Token::End(_) => Err(STRAY),
        }
    }

    fn number(&mut self, text: &'a str) -> Step<Ast> {
        self.next();
        if let Some(value) = superscript_value::<i64>(text).filter(|_| !text.as_bytes()[0].is_ascii()) {
            return Ok(Ast::integer(value));
        }
        if self.peek() == Some(Token::Sign('_')) && text.bytes().all(|c| c.is_ascii_digit()) {
            self.at += 1;
            let braced = self.eat('{');
            let Some(Token::Number(base) | Token::Text(base)) = self.next() else {
                return Err(Stop::Unsupported("an index on a number"));
            };
            let base: u32 = base.trim().parse().map_err(|_| Stop::Unsupported("an index on a number"))?;
            if braced {
                self.expect('}')?;
            }
            if !(2..=36).contains(&base) {
                return Err(Stop::Unsupported("a numeral base outside 2..36"));
            }
            return Ok(Ast::Based(text.to_owned(), base));
        }
        let number = read_number(text, self.budget)?;
        if text.contains('.') { self.decimal(text, number) } else { Ok(Ast::Number(number)) }
    }

    /// A decimal that goes on: dots behind it, or a number in brackets that may be what repeats.
    fn decimal(&mut self, text: &'a str, number: Number) -> Step<Ast> {
        if let [Some(Token::Sign('(')), Some(Token::Number(_)), Some(Token::Sign(')'))] =
            [self.peek(), self.peek_after(), self.tokens.get(self.at + 2).copied()]
        {
            return Err(Stop::Unsupported("a decimal before a number in brackets: a period or a product?"));
        }
        if !self.eat(sign::ELLIPSIS) {
            return Ok(Ast::Number(number));
        }
        let decimals = text.split_once('.').map_or("", |(_, decimals)| decimals);
        let plain = decimals.bytes().all(|c| c.is_ascii_digit());
        match lex::period(decimals).filter(|_| plain) {
            Some(period) => {
                let scale = UBig::from(10_u8).pow(decimals.len());
                let value = number.value + repeated(period, scale)?;
                Ok(Ast::Number(Number { value, places: number.places }))
            }
            // `0.\overline{3}\ldots` says the same twice.
            None if lex::repetend(decimals.trim_start_matches(|c: char| c.is_ascii_digit()), 0).is_some() => {
                Ok(Ast::Number(number))
            }
            None if self.approximate => Ok(Ast::Number(number)),
            None => Err(Stop::Unsupported("a decimal that is not written out")),
        }
    }

    fn letter(&mut self, letter: char) -> Step<Ast> {
        if self.peek() == Some(Token::Sign('(')) && matches!(letter, 'f' | 'g' | 'h' | 'F' | 'G' | 'H') {
            return self.application(letter);
        }
        // `I(0)` is the value of I at 0 and not I times 0; `x(2)` may be either.
        if let [Some(Token::Sign('(')), Some(Token::Number(_)), Some(Token::Sign(')'))] =
            [self.peek(), self.peek_after(), self.tokens.get(self.at + 2).copied()]
        {
            if letter.is_lowercase() {
                return Err(Stop::Unsupported("a letter before a number in brackets: a product or a value?"));
            }
            return self.application(letter);
        }
        let primed = matches!(self.peek(), Some(Token::Sign('^')))
            && (self.peek_after() == Some(Token::Sign('\''))
                || (self.peek_after() == Some(Token::Sign('{'))
                    && self.tokens.get(self.at + 2) == Some(&Token::Sign('\''))));
        let marked = primed || matches!(self.peek(), Some(Token::Sign('_' | '\'')));
        if !marked {
            return Ok(match letter {
                'e' => Ast::Euler,
                'i' => Ast::Imaginary,
                '\u{3c0}' => Ast::Pi,
                _ => Ast::Symbol(greek_letter(letter).map_or_else(|| letter.to_string().into(), Into::into)),
            });
        }
        self.marked(letter.to_string())
    }

    /// A name with primes and an index: `f'`, `x_1`, `a_{12}`, `v_x`.
    fn marked(&mut self, mut name: String) -> Step<Ast> {
        self.primes(&mut name)?;
        if self.eat('_') {
            name.push('_');
            let braced = self.eat('{');
            loop {
                match self.peek() {
                    Some(Token::Number(text)) if text.bytes().all(|c| c.is_ascii_digit()) => {
                        name.push_str(text)
                    }
                    Some(Token::Letter(letter)) => name.push(letter),
                    Some(Token::Word(text) | Token::Command(text)) => name.push_str(text),
                    Some(Token::Text(text)) => name.push_str(text.trim()),
                    Some(Token::Sign(c @ ('+' | '-' | ','))) if braced => name.push(c),
                    _ => return Err(Stop::Unsupported("an index that is not plain")),
                }
                self.next();
                if !braced || self.eat('}') {
                    break;
                }
            }
        }
        self.primes(&mut name)?;
        Ok(Ast::Symbol(name.into()))
    }

    /// `'`, `^\prime`, `^{\prime\prime}`.
    fn primes(&mut self, name: &mut String) -> Step<()> {
        let braced = self.peek() == Some(Token::Sign('^'))
            && self.peek_after() == Some(Token::Sign('{'))
            && self.tokens.get(self.at + 2) == Some(&Token::Sign('\''));
        if braced {
            self.at += 2;
        } else if self.peek() == Some(Token::Sign('^')) && self.peek_after() == Some(Token::Sign('\'')) {
            self.at += 1;
        }
        while self.eat('\'') {
            name.push('\'');
        }
        if braced { self.expect('}') } else { Ok(()) }
    }

    fn application(&mut self, name: char) -> Step<Ast> {
        self.at += 1;
        let arguments = self.deeper(Self::list)?;
        self.expect(')')?;
        let arguments = match arguments {
            Ast::List(items, ListKind::Comma) => items,
            one => vec![one],
        };
        Ok(Ast::Call(Function::Named(name.to_string().into()), arguments))
    }

    fn word(&mut self, word: &'a str) -> Step<Ast> {
        if lex::is_function(word) {
            self.at += 1;
            return self.deeper(|parser| parser.command(word));
        }
        match word {
            "pi" => {
                self.at += 1;
                return Ok(Ast::Pi);
            }
            "infinity" | "infty" | "inf" | "oo" => {
                self.at += 1;
                return Ok(Ast::Infinity);
            }
            "nan" | "NaN" | "NAN" | "undefined" | "None" => return Err(Stop::Unsupported("not a number")),
            _ if is_constant_name(word) => {
                self.at += 1;
                return Ok(Ast::Symbol(word.into()));
            }
            _ => {}
        }
        if word.len() > 3 || is_short_word(word) || matches!(word, "or" | "and") {
            return Err(Stop::Unsupported("words where a value was expected"));
        }
        self.at += 1;
        let mut factors = Vec::new();
        let letters: Vec<char> = word.chars().collect();
        for (index, letter) in letters.iter().enumerate() {
            let last = index + 1 == letters.len();
            factors.push(match letter {
                _ if last => self.letter(*letter)?,
                'e' => Ast::Euler,
                'i' => Ast::Imaginary,
                _ => Ast::Symbol(letter.to_string().into()),
            });
        }
        // `xy^2` is x y^2: the exponent belongs to the last letter.
        if self.peek() == Some(Token::Sign('^')) {
            let last = factors.pop().ok_or(END)?;
            self.at += 1;
            if self.is_degree_sign() {
                return Err(STRAY);
            }
            let exponent = self.deeper(Self::exponent)?;
            factors.push(Ast::Power(Box::new(last), Box::new(exponent)));
        }
        Ok(Ast::Product(factors))
    }

    /// Words in the place of a value: a label such as `\text{E}` or `\text{even}`, alone in its item.
    fn text(&mut self, text: &'a str) -> Step<Ast> {
        self.at += 1;
        let bare = text.trim_matches([' ', '~']);
        let mut letters = bare.chars();
        if let (Some(letter), None) = (letters.next(), letters.next()) {
            return self.letter(letter);
        }
        let ends = match self.peek() {
            None => true,
            Some(Token::Sign(sign)) => matches!(sign, ',' | ';' | ')' | '}' | ']' | '=' | '.'),
            Some(Token::SetClose) => true,
            _ => false,
        };
        let plain = bare.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '(' | ')'));
        if ends && plain && !matches!(bare, "or" | "and" | "not") {
            Ok(Ast::Text(bare.to_owned()))
        } else {
            Err(Stop::Unsupported("words around the value"))
        }
    }

    fn set(&mut self) -> Step<Ast> {
        self.at += 1;
        if self.peek() == Some(Token::SetClose) {
            self.at += 1;
            return Ok(Ast::Set(Vec::new()));
        }
        // `{x | x > 3}` is what the condition says.
        if let (Some(Token::Letter(_)), Some(Token::Sign('|' | ':'))) = (self.peek(), self.peek_after()) {
            self.at += 2;
            let condition = self.relation()?;
            let whole = matches!(condition, Ast::Relation(..)) && self.next() == Some(Token::SetClose);
            return if whole {
                Ok(condition)
            } else {
                Err(Stop::Unsupported("a set that is not a plain list"))
            };
        }
        let items = self.list()?;
        if self.next() != Some(Token::SetClose) {
            return Err(Stop::Unsupported("a set that is not a plain list"));
        }
        Ok(Ast::Set(match items {
            Ast::List(items, _) => items,
            one => vec![one],
        }))
    }

    /// What starts with a bracket or another sign.
    fn bracketed(&mut self, open: char) -> Step<Ast> {
        self.at += 1;
        match open {
            '(' | '[' => {
                let bars = std::mem::take(&mut self.bars);
                let inner = self.list()?;
                self.bars = bars;
                let close = self.next().ok_or(Stop::Unsupported("an unclosed bracket"))?;
                self.close_bracket(open, inner, close)
            }
            '{' => {
                let bars = std::mem::take(&mut self.bars);
                let inner = self.list()?;
                self.bars = bars;
                self.expect('}')?;
                Ok(match inner {
                    Ast::List(items, ListKind::Comma) => Ast::Set(items),
                    one => one,
                })
            }
            '|' => {
                self.bars += 1;
                let inner = self.sum()?;
                self.bars -= 1;
                self.expect('|')?;
                Ok(Ast::Call(Function::Abs, vec![inner]))
            }
            sign::ANGLE_OPEN => {
                let inner = self.list()?;
                self.expect(sign::ANGLE_CLOSE)?;
                Ok(match inner {
                    Ast::List(items, ListKind::Comma) => Ast::Tuple(items),
                    one => Ast::Tuple(vec![one]),
                })
            }
            sign::RADICAL => {
                let inner = self.primary()?;
                Ok(Ast::Root(Box::new(Ast::integer(2)), Box::new(inner)))
            }
            sign::INFINITY => Ok(Ast::Infinity),
            sign::EMPTY => Ok(Ast::Set(Vec::new())),
            '+' | '-' => Err(STRAY),
            _ => match vulgar_fraction(open) {
                Some((above, below)) => {
                    Ok(Ast::Quotient(Box::new(Ast::integer(above)), Box::new(Ast::integer(below))))
                }
                None => Err(STRAY),
            },
        }
    }

    fn close_bracket(&mut self, open: char, inner: Ast, close: Token<'a>) -> Step<Ast> {
        let Token::Sign(close @ (')' | ']')) = close else {
            return Err(Stop::Unsupported("an unclosed bracket"));
        };
        match (open, close, inner) {
            ('(', ')', Ast::List(items, ListKind::Comma)) => {
                if items.len() == 2 && items.iter().any(is_infinite) {
                    return interval(items, false, false);
                }
                Ok(Ast::Tuple(items))
            }
            (_, _, Ast::List(items, ListKind::Comma)) if items.len() == 2 => {
                interval(items, open == '[', close == ']')
            }
            ('[', ']', Ast::List(items, ListKind::Comma)) => Ok(Ast::Tuple(items)),
            ('[', ']', Ast::Matrix(rows)) | ('(', ')', Ast::Matrix(rows)) => Ok(Ast::Matrix(rows)),
            ('(', ')', one @ (Ast::List(..) | Ast::Relation(..) | Ast::Ratio(..) | Ast::Text(_))) => {
                match one {
                    Ast::Ratio(..) | Ast::Text(_) => Ok(one),
                    _ => Err(Stop::Unsupported("a statement in brackets")),
                }
            }
            ('(', ')', one) => Ok(one),
            ('[', ']', one) if one.is_value() => Ok(one),
            _ => Err(Stop::Unsupported("brackets of two kinds")),
        }
    }

    fn matrix(&mut self, name: &str) -> Step<Ast> {
        self.at += 1;
        match name {
            "pmatrix" | "bmatrix" | "matrix" | "array" | "Bmatrix" | "smallmatrix" => {}
            "cases" | "aligned" | "align" | "gathered" => return self.system(name),
            _ => return Err(Stop::Unsupported("this LaTeX environment")),
        }
        let mut rows = vec![Vec::new()];
        let mut cells = 0;
        loop {
            match self.peek() {
                Some(Token::End(end)) if end == name => {
                    self.at += 1;
                    break;
                }
                Some(Token::Row) => {
                    self.at += 1;
                    rows.push(Vec::new());
                }
                Some(Token::Sign('&')) => self.at += 1,
                None => return Err(END),
                _ => {
                    let cell = self.sum()?;
                    cells += 1;
                    if cells > self.budget.items {
                        return Err(Stop::Limit("cells of a matrix"));
                    }
                    if let Some(row) = rows.last_mut() {
                        row.push(cell);
                    }
                }
            }
        }
        rows.retain(|row| !row.is_empty());
        let width = rows.first().map_or(0, Vec::len);
        if width == 0 || rows.iter().any(|row| row.len() != width) {
            return Err(Stop::Unsupported("a matrix with rows of different length"));
        }
        Ok(Ast::Matrix(rows))
    }

    /// Equations below one another.
    fn system(&mut self, name: &str) -> Step<Ast> {
        let mut items = Vec::new();
        loop {
            match self.peek() {
                Some(Token::End(end)) if end == name => {
                    self.at += 1;
                    break;
                }
                Some(Token::Row | Token::Sign('&' | ',' | ';')) => self.at += 1,
                None => return Err(END),
                _ => {
                    let item = self.relation()?;
                    if !matches!(item, Ast::Relation(..)) {
                        return Err(Stop::Unsupported("a definition by cases"));
                    }
                    items.push(item);
                }
            }
        }
        Ok(Ast::List(items, ListKind::Words))
    }

    fn command(&mut self, name: &'a str) -> Step<Ast> {
        match name {
            "frac" => {
                let above = self.argument()?;
                let below = self.argument()?;
                Ok(Ast::Quotient(Box::new(above), Box::new(below)))
            }
            "sqrt" => self.root(),
            "binom" | "dbinom" | "tbinom" => {
                let above = self.argument()?;
                let below = self.argument()?;
                Ok(Ast::Call(Function::Binomial, vec![above, below]))
            }
            "pi" => Ok(Ast::Pi),
            "lfloor" => self.enclosed(Function::Floor, "rfloor"),
            "lceil" => self.enclosed(Function::Ceiling, "rceil"),
            "bar" | "overline" | "tilde" => {
                let inner = self.argument()?;
                match inner {
                    Ast::Symbol(letter) => Ok(Ast::Symbol(format!("{letter} {name}").into())),
                    _ => Err(Stop::Unsupported("a line over more than a letter")),
                }
            }
            "circ" => Err(STRAY),
            "log" | "lg" => self.logarithm(name),
            "sum" | "prod" | "int" | "lim" | "iint" | "oint" => {
                Err(Stop::Unsupported("a sum, product, integral or limit"))
            }
            "det" | "gcd" | "lcm" | "max" | "min" | "mod" | "arg" | "dim" | "sgn" | "cis" => {
                Err(Stop::Unsupported("a function that is not evaluated"))
            }
            _ => match function(name) {
                Some(function) => self.call(function),
                None if is_greek(name) => {
                    let name = if let Some(plain) = name.strip_prefix("var") { plain } else { name };
                    if matches!(self.peek(), Some(Token::Sign('_' | '\''))) {
                        self.marked(name.to_owned())
                    } else {
                        Ok(Ast::Symbol(name.into()))
                    }
                }
                None => Err(Stop::Unsupported("an unknown LaTeX command")),
            },
        }
    }

    fn enclosed(&mut self, function: Function, close: &str) -> Step<Ast> {
        let inner = self.sum()?;
        match self.next() {
            Some(Token::Command(name)) if name == close => Ok(Ast::Call(function, vec![inner])),
            _ => Err(Stop::Unsupported("an unclosed bracket")),
        }
    }

    /// The argument of `\frac` or `\binom`: a group or one token, of a number one digit.
    fn argument(&mut self) -> Step<Ast> {
        match self.peek().ok_or(END)? {
            Token::Number(text) => {
                if !text.bytes().all(|c| c.is_ascii_digit()) {
                    return Err(Stop::Unsupported("a fraction without braces"));
                }
                let digit = i64::from(text.as_bytes()[0] - b'0');
                if text.len() > 1 {
                    self.split += 1;
                } else {
                    self.next();
                }
                Ok(Ast::integer(digit))
            }
            Token::Sign('{') => {
                self.at += 1;
                let inner = self.deeper(Self::sum)?;
                self.expect('}')?;
                Ok(inner)
            }
            Token::Letter(letter) => {
                self.at += 1;
                self.letter(letter)
            }
            Token::Command("pi") => {
                self.at += 1;
                Ok(Ast::Pi)
            }
            Token::Command("sqrt") => self.primary(),
            _ => Err(Stop::Unsupported("a fraction without braces")),
        }
    }

    fn root(&mut self) -> Step<Ast> {
        let mut index = Ast::integer(2);
        if self.eat('[') {
            index = self.deeper(Self::sum)?;
            self.expect(']')?;
        }
        let inner = match self.peek().ok_or(END)? {
            Token::Number(text) => {
                if text.len() > 1 {
                    return Err(Stop::Unsupported("a root without braces over several digits"));
                }
                self.primary()?
            }
            Token::Sign('{') => {
                self.at += 1;
                let inner = self.deeper(Self::sum)?;
                self.expect('}')?;
                inner
            }
            Token::Sign('(' | sign::RADICAL) | Token::Letter(_) | Token::Command("pi" | "frac" | "sqrt") => {
                self.primary()?
            }
            _ => return Err(Stop::Unsupported("a root without braces")),
        };
        Ok(Ast::Root(Box::new(index), Box::new(inner)))
    }

    fn logarithm(&mut self, name: &str) -> Step<Ast> {
        let base = if self.eat('_') {
            Some(match self.peek().ok_or(END)? {
                Token::Number(text)
                    if text.len() > 1 && self.tokens.len() > self.at + 1 && !name.is_empty() =>
                {
                    // `\log_28` is log_2 8 in TeX and log base 28 in plain text.
                    if matches!(
                        self.peek_after(),
                        Some(Token::Sign('(' | '{') | Token::Letter(_) | Token::Command(_))
                    ) {
                        self.primary()?
                    } else {
                        return Err(Stop::Unsupported("a logarithm whose base is not clear"));
                    }
                }
                Token::Sign('{') => {
                    self.at += 1;
                    let inner = self.deeper(Self::sum)?;
                    self.expect('}')?;
                    inner
                }
                _ => self.primary()?,
            })
        } else if name == "lg" {
            Some(Ast::integer(10))
        } else {
            None
        };
        let applied = self.call(Function::Log)?;
        let Some(base) = base else { return Ok(applied) };
        let with_base = |call: Ast| match call {
            Ast::Call(_, mut arguments) => {
                arguments.insert(0, base.clone());
                Ast::Call(Function::LogBase, arguments)
            }
            other => other,
        };
        Ok(match applied {
            Ast::Power(call, exponent) => Ast::Power(Box::new(with_base(*call)), exponent),
            call => with_base(call),
        })
    }

    /// The argument of a named function: a bracket, or the factors that follow without an operator.
    fn call(&mut self, function: Function) -> Step<Ast> {
        let mut exponent = None;
        if self.peek() == Some(Token::Sign('^')) {
            self.at += 1;
            exponent = Some(self.deeper(Self::exponent)?);
        }
        let argument = match self.peek().ok_or(END)? {
            Token::Sign('(' | '|' | '{' | '[') => self.primary()?,
            _ => {
                let mut argument = self.power()?;
                while matches!(
                    self.peek(),
                    Some(Token::Letter(_) | Token::Number(_) | Token::Command("pi" | "frac" | "sqrt"))
                ) || matches!(self.peek(), Some(Token::Command(name)) if is_greek(name))
                    || matches!(self.peek(), Some(Token::Word("pi")))
                {
                    argument = times(argument, self.power()?);
                }
                if self.peek() == Some(Token::Sign('/'))
                    && matches!(self.peek_after(), Some(Token::Number(_)))
                {
                    // `\sin \pi/6`: readers take it as sin(pi/6), a strict left-to-right parser as (sin
                    // pi)/6.
                    return Err(Stop::Unsupported("an ambiguous function argument: write brackets"));
                }
                argument
            }
        };
        if !argument.is_value() {
            return Err(Stop::Unsupported("a function of something that is not one value"));
        }
        let inverse = match (&exponent, &function) {
            (Some(Ast::Negative(one)), Function::Sin) if **one == Ast::integer(1) => Some(Function::ArcSin),
            (Some(Ast::Negative(one)), Function::Cos) if **one == Ast::integer(1) => Some(Function::ArcCos),
            (Some(Ast::Negative(one)), Function::Tan) if **one == Ast::integer(1) => Some(Function::ArcTan),
            _ => None,
        };
        if let Some(inverse) = inverse {
            return Ok(Ast::Call(inverse, vec![argument]));
        }
        let call = Ast::Call(function, vec![argument]);
        Ok(match exponent {
            Some(exponent) => Ast::Power(Box::new(call), Box::new(exponent)),
            None => call,
        })
    }
}

fn times(a: Ast, b: Ast) -> Ast {
    match a {
        Ast::Product(mut factors) => {
            factors.push(b);
            Ast::Product(factors)
        }
        a => Ast::Product(vec![a, b]),
    }
}

fn interval(mut items: Vec<Ast>, low_closed: bool, high_closed: bool) -> Step<Ast> {
    let (Some(high), Some(low)) = (items.pop(), items.pop()) else { return Err(END) };
    if !low.is_value() || !high.is_value() {
        return Err(Stop::Unsupported("an interval whose ends are not values"));
    }
    Ok(Ast::Interval(Box::new(Interval { low, high, low_closed, high_closed })))
}

/// Infinity with or without a sign.
pub(crate) fn is_infinite(ast: &Ast) -> bool {
    match ast {
        Ast::Infinity => true,
        Ast::Negative(inner) => is_infinite(inner),
        _ => false,
    }
}

fn function(name: &str) -> Option<Function> {
    Some(match name {
        "sin" => Function::Sin,
        "cos" => Function::Cos,
        "tan" => Function::Tan,
        "cot" => Function::Cot,
        "sec" => Function::Sec,
        "csc" | "cosec" => Function::Csc,
        "arcsin" | "asin" => Function::ArcSin,
        "arccos" | "acos" => Function::ArcCos,
        "arctan" | "atan" => Function::ArcTan,
        "sinh" => Function::Sinh,
        "cosh" => Function::Cosh,
        "tanh" => Function::Tanh,
        "exp" => Function::Exp,
        "ln" => Function::Ln,
        "abs" => Function::Abs,
        "floor" => Function::Floor,
        "ceil" => Function::Ceiling,
        _ => return None,
    })
}

fn is_greek(name: &str) -> bool {
    matches!(
        name,
        "alpha"
            | "beta"
            | "gamma"
            | "delta"
            | "epsilon"
            | "varepsilon"
            | "zeta"
            | "eta"
            | "theta"
            | "vartheta"
            | "iota"
            | "kappa"
            | "lambda"
            | "mu"
            | "nu"
            | "xi"
            | "rho"
            | "sigma"
            | "tau"
            | "upsilon"
            | "phi"
            | "varphi"
            | "chi"
            | "psi"
            | "omega"
            | "Gamma"
            | "Delta"
            | "Theta"
            | "Lambda"
            | "Xi"
            | "Pi"
            | "Sigma"
            | "Phi"
            | "Psi"
            | "Omega"
            | "ell"
            | "hbar"
    )
}

/// A Greek letter typed as such has the name its command has.
fn greek_letter(letter: char) -> Option<&'static str> {
    const LOWER: [&str; 25] = [
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda",
        "mu", "nu", "xi", "omicron", "pi", "rho", "sigma", "sigma", "tau", "upsilon", "phi", "chi", "psi",
        "omega",
    ];
    let index = (letter as u32).checked_sub('\u{3b1}' as u32)?;
    LOWER.get(index as usize).copied()
}

fn vulgar_fraction(sign: char) -> Option<(i64, i64)> {
    Some(match sign {
        '\u{bd}' => (1, 2),
        '\u{2153}' => (1, 3),
        '\u{2154}' => (2, 3),
        '\u{bc}' => (1, 4),
        '\u{be}' => (3, 4),
        '\u{2155}' => (1, 5),
        '\u{2156}' => (2, 5),
        '\u{2157}' => (3, 5),
        '\u{2158}' => (4, 5),
        '\u{2159}' => (1, 6),
        '\u{215a}' => (5, 6),
        '\u{215b}' => (1, 8),
        '\u{215c}' => (3, 8),
        '\u{215d}' => (5, 8),
        '\u{215e}' => (7, 8),
        _ => return None,
    })
}

/// A small integer written in plain or superscript digits.
fn superscript_value<T: TryFrom<i64>>(text: &str) -> Option<T> {
    let mut value = 0_i64;
    let mut negative = false;
    for c in text.chars() {
        let digit = match c {
            '\u{207b}' => {
                negative = true;
                continue;
            }
            '\u{b9}' => 1,
            '\u{b2}' => 2,
            '\u{b3}' => 3,
            '\u{2070}' | '\u{2074}'..='\u{2079}' => c as i64 - '\u{2070}' as i64,
            '0'..='9' => c as i64 - '0' as i64,
            _ => return None,
        };
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    T::try_from(if negative { -value } else { value }).ok()
}

/// The exact value of a numeral with separators, decimals, a repeating part or a power of ten.
pub(crate) fn read_number(text: &str, budget: &Budget) -> Step<Number> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) if at > 0 && text.as_bytes()[at - 1].is_ascii_digit() => (&text[..at], &text[at + 1..]),
        _ => (text, ""),
    };
    let (mantissa, period) = without_repetend(mantissa);
    if period.is_empty() && mantissa.len() <= 18 && exponent.is_empty() {
        return Ok(short_number(mantissa));
    }
    let mut digits = String::with_capacity(mantissa.len());
    let mut places = 0_u32;
    let mut fraction = false;
    for c in mantissa.chars() {
        match c {
            '0'..='9' => {
                digits.push(c);
                places += u32::from(fraction);
            }
            '.' => fraction = true,
            _ => {}
        }
    }
    let too_long = Stop::Limit("digits");
    let integer = |digits: &str| -> Step<UBig> {
        if digits.is_empty() {
            Ok(UBig::ZERO)
        } else {
            UBig::from_str_radix(digits, 10).map_err(|_| too_long.clone())
        }
    };
    let scale = UBig::from(10_u8).pow(places as usize);
    let mut value = RBig::from_parts(IBig::from(integer(&digits)?), scale.clone());
    if !period.is_empty() {
        value += repeated(&period, scale)?;
    }
    if !exponent.is_empty() {
        let power: i32 = exponent.parse().map_err(|_| Stop::Limit("power of ten"))?;
        if power.unsigned_abs() > budget.decimal_exponent {
            return Err(Stop::Limit("power of ten"));
        }
        let ten = RBig::from(UBig::from(10_u8).pow(power.unsigned_abs() as usize));
        value = if power >= 0 { value * ten } else { value / ten };
        places = 0;
    }
    Ok(Number { value, places })
}

/// A numeral before its repeating part, and the digits of that part.
fn without_repetend(text: &str) -> (&str, String) {
    let found = text.find('.').and_then(|point| {
        let places = text[point + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let end = point + 1 + places;
        lex::repetend(&text[end..], places).map(|(_, period)| (&text[..end], period))
    });
    found.unwrap_or((text, String::new()))
}

/// What a period adds that starts behind the decimal place 1/`scale`.
fn repeated(period: &str, scale: UBig) -> Step<RBig> {
    let digits = UBig::from_str_radix(period, 10).map_err(|_| Stop::Limit("digits"))?;
    let nines = UBig::from(10_u8).pow(period.len()) - UBig::ONE;
    Ok(RBig::from_parts(IBig::from(digits), nines * scale))
}

fn short_number(text: &str) -> Number {
    let mut value = 0_u64;
    let mut places = 0_u32;
    let mut fraction = false;
    for c in text.bytes() {
        match c {
            b'0'..=b'9' => {
                value = value * 10 + u64::from(c - b'0');
                places += u32::from(fraction);
            }
            b'.' => fraction = true,
            _ => {}
        }
    }
    let value = if places == 0 {
        RBig::from(value)
    } else {
        RBig::from_parts(value.into(), 10_u64.pow(places).into())
    };
    Number { value, places }
}

/// The name of a lone symbol, also of a named function applied to plain symbols (`f(x)`).
pub(crate) fn defined_name(ast: &Ast) -> Option<Arc<str>> {
    match ast {
        Ast::Symbol(name) => Some(name.clone()),
        Ast::Call(Function::Named(name), arguments)
            if arguments.iter().all(|a| matches!(a, Ast::Symbol(_))) =>
        {
            Some(name.clone())
        }
        // `P(x) = ..` reads as a product of a capital letter and one symbol; on the left of `=` it is a
        // definition.
        Ast::Product(factors) => match factors.as_slice() {
            [Ast::Symbol(name), Ast::Symbol(_)] if name.chars().all(char::is_uppercase) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}
