//! LaTeX commands with arguments: fractions, roots, logarithms, named functions.

use super::arithmetic::times;
use super::name::is_greek;
use super::{END, Parser, STRAY};
use crate::math::ast::{Ast, Function};
use crate::math::budget::{Step, Stop};
use crate::math::lex::{Token, sign};

/// Sums, products, integrals and limits are not worked out.
pub(crate) const CALCULUS: Stop = Stop::Unsupported("a sum, product, integral or limit");

const NOT_EVALUATED: Stop = Stop::Unsupported("a function that is not evaluated");

impl<'a> Parser<'a, '_> {
    pub(super) fn command(&mut self, name: &'a str) -> Step<Ast> {
        match name {
            "frac" => {
                let above = self.argument()?;
                let below = self.argument()?;
                derivative(&above, &below)
                    .unwrap_or_else(|| Ok(Ast::Quotient(Box::new(above), Box::new(below))))
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
                    Ast::Product(letters) => {
                        let mut joined = String::new();
                        for letter in letters {
                            let Ast::Symbol(letter) = letter else {
                                return Err(Stop::Unsupported("a line over more than letters"));
                            };
                            joined.push_str(&letter);
                        }
                        Ok(Ast::Symbol(format!("{joined} {name}").into()))
                    }
                    _ => Err(Stop::Unsupported("a line over more than a letter")),
                }
            }
            "circ" => Err(STRAY),
            "log" | "lg" => self.logarithm(name),
            "sum" | "prod" | "int" | "lim" | "iint" | "oint" => Err(CALCULUS),
            "det" | "gcd" | "lcm" | "max" | "min" => self.task(name),
            "mod" | "arg" | "dim" | "sgn" | "cis" => Err(NOT_EVALUATED),
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

    /// `{}_5C_2`, `^5C_2`, `_{5}P_{2}`: combinations and permutations with their numbers around the letter.
    pub(super) fn combination(&mut self) -> Step<Ast> {
        if self.eat('{') {
            self.expect('}')?;
        }
        if !self.eat('_') && !self.eat('^') {
            return Err(STRAY);
        }
        let above = self.argument_number()?;
        let Some(Token::Letter(letter @ ('C' | 'P'))) = self.next() else { return Err(STRAY) };
        self.expect('_').map_err(|_| STRAY)?;
        let below = self.argument_number()?;
        Ok(chosen(letter, above, below))
    }

    /// `5C2`, `5P2`, with nothing between.
    pub(super) fn combination_in_line(&mut self, above: &'a str) -> Option<Ast> {
        let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit()) && text.len() < 6;
        let (Some(Token::Letter(letter @ ('C' | 'P'))), Some(Token::Number(below))) =
            (self.peek_after(), self.tokens.get(self.at + 2).copied())
        else {
            return None;
        };
        let (above, below) = (digits(above).then_some(above)?, digits(below).then_some(below)?);
        let number = |text: &str| text.parse().ok().map(Ast::integer);
        let found = chosen(letter, number(above)?, number(below)?);
        self.at += 3;
        Some(found)
    }

    /// A whole number in braces or without.
    fn argument_number(&mut self) -> Step<Ast> {
        let braced = self.eat('{');
        let Some(Token::Number(text)) = self.next() else { return Err(STRAY) };
        let number = match text.parse::<u16>() {
            Ok(number) => Ast::integer(i64::from(number)),
            Err(_) => return Err(STRAY),
        };
        if braced {
            self.expect('}')?;
        }
        Ok(number)
    }

    /// `C(5, 2)`; `None`, with nothing used up, where the bracket is no pair of whole numbers or letters.
    pub(super) fn combination_of_pair(&mut self) -> Option<Ast> {
        let token = |after: usize| self.tokens.get(self.at + after).copied();
        let part = |token: Option<Token<'a>>| match token? {
            Token::Number(text) => text.parse::<u16>().ok().map(|number| Ast::integer(i64::from(number))),
            Token::Letter(letter @ ('n' | 'k' | 'r' | 'm')) => Some(Ast::Symbol(letter.to_string().into())),
            _ => None,
        };
        let [open, above, comma, below, close] = [0, 1, 2, 3, 4].map(token);
        let pair = [open, comma, close] == ['(', ',', ')'].map(|sign| Some(Token::Sign(sign)));
        let call = Ast::Call(Function::Binomial, vec![part(above)?, part(below)?]);
        if pair {
            self.at += 5;
        }
        pair.then_some(call)
    }

    /// Functions of a bracket with several numbers, and the determinant of a matrix.
    fn task(&mut self, name: &str) -> Step<Ast> {
        let inner = match self.peek().ok_or(END)? {
            Token::Sign('(' | '[' | '{') | Token::SetOpen | Token::Begin(_) => self.primary()?,
            _ => return Err(NOT_EVALUATED),
        };
        let function = match name {
            "det" => Function::Determinant,
            "gcd" => Function::GreatestDivisor,
            "lcm" => Function::LeastMultiple,
            "max" => Function::Largest,
            _ => Function::Smallest,
        };
        match (inner, &function) {
            (matrix @ Ast::Matrix(_), Function::Determinant) => Ok(Ast::Call(function, vec![matrix])),
            (_, Function::Determinant) => Err(NOT_EVALUATED),
            (Ast::Tuple(items) | Ast::Set(items), _) => Ok(Ast::Call(function, items)),
            (Ast::Interval(ends), _) => Ok(Ast::Call(function, vec![ends.low, ends.high])),
            _ => Err(NOT_EVALUATED),
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
    pub(super) fn argument(&mut self) -> Step<Ast> {
        match self.peek().ok_or(END)? {
            Token::Number(text) => {
                if !text.bytes().all(|c| c.is_ascii_digit()) {
                    return Err(Stop::Unsupported("a fraction without braces"));
                }
                let digit = i64::from(text.as_bytes()[0] - b'0');
                if text.len() > 1 {
                    self.use_one();
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
    pub(super) fn call(&mut self, function: Function) -> Step<Ast> {
        let mut exponent = None;
        if self.peek() == Some(Token::Sign('^')) {
            self.at += 1;
            exponent = Some(self.deeper(Self::exponent)?);
        }
        let argument = match self.peek().ok_or(END)? {
            Token::Sign('(' | '|' | '{' | '[') => self.primary()?,
            _ => {
                let mut argument = self.power()?;
                if matches!((&argument, self.peek()), (Ast::Number(_), Some(Token::Number(_)))) {
                    return Err(Stop::Unsupported("two numbers side by side"));
                }
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

/// Combinations, or permutations n!/(n-k)!.
fn chosen(letter: char, above: Ast, below: Ast) -> Ast {
    if letter == 'C' {
        return Ast::Call(Function::Binomial, vec![above, below]);
    }
    let rest = Ast::Sum(vec![above.clone(), Ast::Negative(Box::new(below))]);
    let factorial = |x: Ast| Box::new(Ast::Factorial(Box::new(x)));
    Ast::Quotient(factorial(above), factorial(rest))
}

/// `\frac{dy}{dx}` is a derivative and no quotient; the same letters make the same name.
fn derivative(above: &Ast, below: &Ast) -> Option<Step<Ast>> {
    let is_d =
        |ast: &Ast| matches!(ast, Ast::Symbol(name) if matches!(&**name, "d" | "\u{2202}" | "partial"));
    let differential = |ast: &Ast| match ast {
        Ast::Product(factors) if factors.len() == 2 && is_d(&factors[0]) => match &factors[1] {
            Ast::Symbol(name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    };
    let starts_with_d = |ast: &Ast| match ast {
        Ast::Product(factors) => {
            is_d(&factors[0]) || matches!(&factors[0], Ast::Power(base, _) if is_d(base))
        }
        Ast::Power(base, _) => is_d(base),
        other => is_d(other),
    };
    let Some(variable) = differential(below) else {
        let higher = starts_with_d(below) && starts_with_d(above);
        return higher.then_some(Err(Stop::Unsupported("a derivative")));
    };
    match differential(above) {
        Some(function) => Some(Ok(Ast::Symbol(format!("d{function}/d{variable}").into()))),
        None if above.any(&is_d) => Some(Err(Stop::Unsupported("a derivative"))),
        None => None,
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
