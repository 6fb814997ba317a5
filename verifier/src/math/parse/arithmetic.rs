//! Sums, products, powers, mixed numbers: precedence climbing, loosest first.

use super::number::{read_number, vulgar_fraction};
use super::words::{is_constant_name, is_letters};
use super::{END, Parser, STRAY};
use crate::math::ast::{Ast, Function};
use crate::math::budget::{Step, Stop};
use crate::math::lex;
use crate::math::lex::{Token, sign};

impl<'a> Parser<'a, '_> {
    pub(super) fn sum(&mut self) -> Step<Ast> {
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

    pub(super) fn product(&mut self) -> Step<Ast> {
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
                    if self.peek() == Some(Token::Command("frac")) {
                        return Err(Stop::Unsupported("neither a mixed number nor clearly a product"));
                    }
                }
                Some(Token::Command("bmod" | "mod")) => {
                    self.at += 1;
                    let modulus = self.power()?;
                    value = Ast::Call(Function::Remainder, vec![value, modulus]);
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
    pub(super) fn mixed(&mut self, whole: Ast) -> Step<Ast> {
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
                "pmod"
                    | "bmod"
                    | "mod"
                    | "equiv"
                    | "to"
                    | "Rightarrow"
                    | "implies"
                    | "rfloor"
                    | "rceil"
                    | "choose"
            ),
            Some(Token::Sign(sign)) => {
                matches!(sign, '(' | '[' | '{' | sign::INFINITY | sign::RADICAL | sign::ANGLE_OPEN)
                    || vulgar_fraction(sign).is_some()
                    || (sign == '|' && self.bars == 0)
            }
            _ => false,
        }
    }

    /// Words that are mathematics after a value: functions, constants, short products of variables.
    fn is_math_word(&self, word: &str) -> bool {
        let capitals = (2..=3).contains(&word.len())
            && word.bytes().all(|c| c.is_ascii_uppercase())
            && matches!(self.peek_after(), Some(Token::Sign('+' | '-' | '^' | '*' | '/' | '=' | '_')));
        lex::is_function(word) || word == "pi" || is_constant_name(word) || is_letters(word) || capitals
    }

    /// A primary with its postfix signs and exponents.
    pub(super) fn power(&mut self) -> Step<Ast> {
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
                    base = self.arc_minutes(base)?;
                }
                Some(Token::Sign('^')) => {
                    self.at += 1;
                    if self.is_degree_sign() {
                        base = self.wrapped(base, |x| Ast::Degrees(Box::new(x)))?;
                        base = self.arc_minutes(base)?;
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

    pub(super) fn is_degree_sign(&mut self) -> bool {
        let braced = self.peek() == Some(Token::Sign('{'));
        let at = self.at + usize::from(braced);
        let found = matches!(self.tokens.get(at), Some(Token::Command("circ") | Token::Sign(sign::DEGREE)));
        if found && (!braced || self.tokens.get(at + 1) == Some(&Token::Sign('}'))) {
            self.at = at + 1 + usize::from(braced);
            return true;
        }
        false
    }

    /// Minutes and seconds of arc after degrees: `63^{\circ} 45^{\prime} 30^{\prime\prime}`.
    fn arc_minutes(&mut self, degrees: Ast) -> Step<Ast> {
        let Ast::Degrees(whole) = degrees else { return Ok(degrees) };
        let mut terms = vec![*whole];
        for (primes, parts) in [(1, 60), (2, 3600)] {
            let start = self.at;
            let Some(Token::Number(text)) = self.peek() else { break };
            self.at += 1;
            let mut marks = String::new();
            if self.primes(&mut marks).is_err() || marks.len() != primes {
                self.at = start;
                break;
            }
            let part = Ast::Number(read_number(text, self.budget)?);
            terms.push(Ast::Quotient(Box::new(part), Box::new(Ast::integer(parts))));
        }
        let value = if terms.len() == 1 { terms.swap_remove(0) } else { Ast::Sum(terms) };
        Ok(Ast::Degrees(Box::new(value)))
    }

    /// One token or group after `^`, right-associative.
    pub(super) fn exponent(&mut self) -> Step<Ast> {
        let mut negative = false;
        while let Some(Token::Sign(sign @ ('+' | '-'))) = self.peek() {
            negative ^= sign == '-';
            self.at += 1;
        }
        if matches!(self.peek(), Some(Token::Sign('\'' | '*'))) {
            return Err(Stop::Unsupported("a mark as exponent"));
        }
        let mut value = match self.peek() {
            // `e^xy` is e^x y: TeX takes one token.
            Some(Token::Word(word)) if !lex::is_function(word) && word != "pi" && !is_constant_name(word) => {
                self.first_letter(word)?
            }
            _ => self.primary()?,
        };
        if self.peek() == Some(Token::Sign('!')) {
            return Err(Stop::Unsupported("a factorial behind an exponent: of which?"));
        }
        if self.peek() == Some(Token::Sign('^')) {
            if self.tokens.get(self.at - 1) == Some(&Token::Sign('}')) {
                return Err(Stop::Unsupported("two exponents"));
            }
            self.at += 1;
            let above = self.deeper(Self::exponent)?;
            value = Ast::Power(Box::new(value), Box::new(above));
        }
        Ok(if negative { Ast::Negative(Box::new(value)) } else { value })
    }

    pub(super) fn primary(&mut self) -> Step<Ast> {
        let token = self.peek().ok_or(END)?;
        match token {
            Token::Number(text) => match self.combination_in_line(text) {
                Some(combination) => Ok(combination),
                None => self.number(text),
            },
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
            Token::Sign('_' | '^') => self.combination(),
            Token::Sign('{') if self.peek_after() == Some(Token::Sign('}')) => self.combination(),
            Token::Sign(sign) => self.deeper(|parser| parser.bracketed(sign)),
            Token::SetClose | Token::Row | Token::End(_) => Err(STRAY),
        }
    }
}

pub(super) fn times(a: Ast, b: Ast) -> Ast {
    match a {
        Ast::Product(mut factors) => {
            factors.push(b);
            Ast::Product(factors)
        }
        a => Ast::Product(vec![a, b]),
    }
}
