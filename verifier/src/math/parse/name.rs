//! Letters and names: constants, indices and primes, `f(x)`, products of letters typed as a word.

use super::words::{is_constant_name, is_short_word};
use super::{END, Parser, STRAY};
use crate::math::ast::{Ast, Function, ListKind};
use crate::math::budget::{Step, Stop};
use crate::math::lex;
use crate::math::lex::Token;
use std::sync::Arc;

impl<'a> Parser<'a, '_> {
    pub(super) fn letter(&mut self, letter: char) -> Step<Ast> {
        if self.peek() == Some(Token::Sign('(')) && matches!(letter, 'f' | 'g' | 'h' | 'F' | 'G' | 'H') {
            return self.application(letter);
        }
        if letter == 'C'
            && let Some(combination) = self.combination_of_pair()
        {
            return Ok(combination);
        }
        // `I(0)` is the value of I at 0 and not I times 0; `x(2)` may be either.
        if let [Some(Token::Sign('(')), Some(Token::Number(text)), Some(Token::Sign(')'))] =
            [self.peek(), self.peek_after(), self.tokens.get(self.at + 2).copied()]
        {
            let plain = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
            if letter.is_lowercase() || !plain {
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
    pub(super) fn marked(&mut self, mut name: String) -> Step<Ast> {
        self.primes(&mut name)?;
        if self.eat('_') {
            name.push('_');
            let braced = self.eat('{');
            loop {
                match self.peek() {
                    // `12e-41` is one numeral to the lexer, and so is `1,234`.
                    Some(Token::Number(text))
                        if text.bytes().all(|c| c.is_ascii_alphanumeric() || b",+-".contains(&c)) =>
                    {
                        name.push_str(text)
                    }
                    Some(Token::Letter(letter)) => name.push(letter),
                    Some(Token::Word(text) | Token::Command(text)) => name.push_str(text),
                    Some(Token::Text(text))
                        if text
                            .chars()
                            .all(|c| c.is_alphanumeric() || matches!(c, ' ' | '~' | '+' | '-' | ',')) =>
                    {
                        name.extend(text.chars().filter(|c| !matches!(c, ' ' | '~')))
                    }
                    Some(Token::Sign(c @ ('+' | '-' | ','))) if braced => name.push(c),
                    _ => return Err(Stop::Unsupported("an index that is not plain")),
                }
                self.next();
                if !braced || self.eat('}') {
                    break;
                }
            }
        }
        if name.ends_with('_') {
            return Err(Stop::Unsupported("an index that is not plain"));
        }
        self.primes(&mut name)?;
        Ok(Ast::Symbol(name.into()))
    }

    /// `'`, `^\prime`, `^{\prime\prime}`.
    pub(super) fn primes(&mut self, name: &mut String) -> Step<()> {
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

    pub(super) fn application(&mut self, name: char) -> Step<Ast> {
        self.at += 1;
        let arguments = self.deeper(Self::list)?;
        self.expect(')')?;
        let arguments = match arguments {
            Ast::List(items, ListKind::Comma) => items,
            one => vec![one],
        };
        Ok(Ast::Call(Function::Named(name.to_string().into()), arguments))
    }

    /// Takes one letter off a word and leaves the rest to be read.
    pub(super) fn first_letter(&mut self, word: &'a str) -> Step<Ast> {
        if word.len() > 3 || is_short_word(word) || matches!(word, "or" | "and") {
            return Err(Stop::Unsupported("words where a value was expected"));
        }
        self.use_one();
        Ok(match word.as_bytes()[0] {
            b'e' => Ast::Euler,
            b'i' => Ast::Imaginary,
            letter => Ast::Symbol(char::from(letter).to_string().into()),
        })
    }

    pub(super) fn word(&mut self, word: &'a str) -> Step<Ast> {
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
        self.next();
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
        // `xy!` is x y!, `xy^2` is x y^2: they belong to the last letter.
        if self.eat('!') {
            let last = factors.pop().ok_or(END)?;
            factors.push(Ast::Factorial(Box::new(last)));
        }
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
}

pub(crate) fn is_greek(name: &str) -> bool {
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
