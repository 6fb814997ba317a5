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

mod arithmetic;
mod bracket;
mod call;
mod matrix;
mod name;
mod number;
mod quantity;
mod words;
mod wrap;

use super::ast::{Ast, ListKind, Relation};
use super::budget::{Budget, Step, Stop};
use super::lex;
use super::lex::{Token, sign};
pub(crate) use call::CALCULUS;
pub(crate) use name::{defined_name, is_greek};
use words::{time_or_date, words_only};
use wrap::without_math_dollars;
pub(crate) use wrap::{spellings, unwrap, without_heading};

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
        Parser { tokens: &tokens, at: 0, split: (0, 0), depth: 0, bars: 0, approximate: false, budget };
    parser.whole()
}

struct Parser<'a, 'b> {
    tokens: &'b [Token<'a>],
    at: usize,
    /// The place of a number or word, and how many of its bytes were used up one by one (`\frac34`, `e^xy`).
    split: (usize, usize),
    depth: u32,
    /// Open `|`: inside them a bar closes.
    bars: u32,
    /// After an "approximately": decimals that end in dots say what they mean there.
    approximate: bool,
    budget: &'b Budget,
}

fn is_relation(token: Token<'_>) -> bool {
    let signs = ['=', '<', '>', sign::UNEQUAL, sign::AT_MOST, sign::AT_LEAST, sign::MEMBER, sign::ABOUT];
    matches!(token, Token::Sign(sign) if signs.contains(&sign))
}

const END: Stop = Stop::Unsupported("the answer ends too early");

const STRAY: Stop = Stop::Unsupported("a sign where none belongs");

/// Infinity with or without a sign.
pub(crate) fn is_infinite(ast: &Ast) -> bool {
    match ast {
        Ast::Infinity => true,
        Ast::Negative(inner) => is_infinite(inner),
        _ => false,
    }
}

impl<'a> Parser<'a, '_> {
    fn peek(&self) -> Option<Token<'a>> {
        match self.tokens.get(self.at).copied() {
            Some(Token::Number(text)) if self.used() > 0 => Some(Token::Number(&text[self.used()..])),
            Some(Token::Word(text)) if self.used() > 0 => Some(match &text[self.used()..] {
                letter if letter.len() == 1 => Token::Letter(char::from(letter.as_bytes()[0])),
                rest => Token::Word(rest),
            }),
            token => token,
        }
    }

    fn peek_after(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at + 1).copied()
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// How much of the token at hand is used up.
    fn used(&self) -> usize {
        if self.split.0 == self.at { self.split.1 } else { 0 }
    }

    /// Uses up one more byte of the token at hand, which is not its last.
    fn use_one(&mut self) {
        self.split = (self.at, self.used() + 1);
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
        // "About 5.2" is 5.2 as it is written.
        self.eat(sign::ABOUT);
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
            // A wide gap separates, and vanishes beside other separators and at the end.
            let gap = self.peek() == Some(Token::Text(" "));
            if gap {
                self.at += 1;
                if self.peek().is_none() {
                    break;
                }
            }
            let mut separated = self.eat(',') || self.eat(';') || gap;
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
        // `{x | x < 1 or x > 2}, 3`: what is in braces reads as its condition, which no longer shows where it ends.
        // `[x = 1, y = 2], [x = 3, y = 4]` does.
        let nested = |item: &Ast| match item {
            Ast::List(inner, kind) => {
                *kind == ListKind::Or || !inner.iter().all(|part| matches!(part, Ast::Relation(..)))
            }
            _ => false,
        };
        if items.len() > 1 && items.iter().any(nested) {
            return Err(Stop::Unsupported("a list inside a list"));
        }
        Ok(if items.len() == 1 { items.swap_remove(0) } else { Ast::List(items, kind) })
    }

    fn relation(&mut self) -> Step<Ast> {
        let mut terms = vec![self.class()?];
        let mut relations = Vec::new();
        loop {
            // `a &= b` in aligned equations.
            if self.peek() == Some(Token::Sign('&')) && self.peek_after().is_some_and(is_relation) {
                self.at += 1;
            }
            let sign = match self.peek() {
                Some(Token::Sign(sign)) => sign,
                Some(Token::Command("equiv")) => '=',
                _ => break,
            };
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
            self.eat('&');
            terms.push(self.class()?);
            self.approximate = false;
            if terms.len() > self.budget.items {
                return Err(Stop::Limit("members of a chain"));
            }
        }
        // `1 < {1 < x}` relates a statement.
        if !relations.is_empty() && terms.iter().any(|term| matches!(term, Ast::Relation(..) | Ast::List(..)))
        {
            return Err(Stop::Unsupported("a statement inside a statement"));
        }
        Ok(if relations.is_empty() { terms.swap_remove(0) } else { Ast::Relation(terms, relations) })
    }

    /// A value, or the class of numbers `3 \pmod 7`.
    fn class(&mut self) -> Step<Ast> {
        let value = self.union()?;
        if self.peek() != Some(Token::Command("pmod")) {
            return Ok(value);
        }
        if !value.is_value() || matches!(value, Ast::Quantity(..)) {
            return Err(Stop::Unsupported("a modulus of what is no number"));
        }
        self.at += 1;
        let modulus = self.deeper(Self::argument)?;
        Ok(Ast::Class(Box::new(value), Box::new(modulus)))
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
        // `x < 1 \cup x > 2` unites statements, which its parts do not show.
        if parts.iter().any(|part| matches!(part, Ast::Number(_))) {
            return Err(Stop::Unsupported("a union of what is no set"));
        }
        Ok(Ast::Union(parts))
    }
}
