//! Values with what stands around them: signs of money, units, the parts of a ratio.

use super::arithmetic::times;
use super::number::superscript_value;
use super::{Parser, STRAY};
use crate::math::ast::{Ast, Number};
use crate::math::budget::{Step, Stop};
use crate::math::lex::Token;
use crate::math::units::{Unit, UnitPart};

impl<'a> Parser<'a, '_> {
    pub(super) fn ratio(&mut self) -> Step<Ast> {
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
        // `{x | x < 1} : {x | x < 2}` relates two conditions, `4:{4:3}` is no ratio of three.
        if parts.iter().any(|part| matches!(part, Ast::Relation(..) | Ast::List(..) | Ast::Ratio(..))) {
            return Err(Stop::Unsupported("a statement inside a ratio"));
        }
        Ok(Ast::Ratio(parts, minutes))
    }

    /// A value with the sign or unit that may stand around it.
    pub(super) fn quantity(&mut self) -> Step<Ast> {
        let negative = self.peek() == Some(Token::Sign('-'))
            && matches!(self.peek_after(), Some(Token::Sign(sign)) if Unit::currency(sign).is_some());
        if negative {
            self.at += 1;
        }
        let currency = match self.peek() {
            Some(Token::Sign(sign)) => Unit::currency(sign),
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
        if let (None, Some(Unit::Known { .. })) = (&currency, &unit) {
            value = self.smaller_units(value, unit.as_ref())?;
        }
        match (currency, unit) {
            (Some(unit), None | Some(Unit::Label(_))) | (None, Some(unit)) => {
                Ok(Ast::Quantity(Box::new(value), unit))
            }
            (Some(a), Some(b)) if a == b => Ok(Ast::Quantity(Box::new(value), a)),
            (Some(_), Some(_)) => Err(Stop::Unsupported("two units")),
            (None, None) => Ok(value),
        }
    }

    /// `2 hours 30 minutes`, `5 ft 3 in`: numbers of smaller units of the same kind, added up in the first.
    fn smaller_units(&mut self, value: Ast, unit: Option<&Unit>) -> Step<Ast> {
        let Some(Unit::Known { dimension, factor }) = unit else { return Ok(value) };
        let (mut terms, mut last) = (vec![value], factor.clone());
        while matches!(self.peek(), Some(Token::Number(_))) && terms.len() < 4 {
            let start = (self.at, self.split);
            let number = self.power()?;
            match self.unit()? {
                Some(Unit::Known { dimension: other, factor: smaller })
                    if other == *dimension && smaller < last =>
                {
                    let scale = Number { value: smaller.clone() / factor, places: 0 };
                    terms.push(times(number, Ast::Number(scale)));
                    last = smaller;
                }
                _ => {
                    (self.at, self.split) = start;
                    break;
                }
            }
        }
        Ok(if terms.len() == 1 { terms.swap_remove(0) } else { Ast::Sum(terms) })
    }

    pub(super) fn unit(&mut self) -> Step<Option<Unit>> {
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
                    // One letter, or the seconds that look like a secant.
                    match self.peek() {
                        Some(Token::Letter('s' | 'h' | 'm' | 'g')) => {
                            let Some(Token::Letter(letter)) = self.next() else { return Err(STRAY) };
                            parts.push(UnitPart::Words(match letter {
                                's' => "s",
                                'h' => "h",
                                'm' => "m",
                                _ => "g",
                            }));
                        }
                        Some(Token::Command("sec" | "min")) => {
                            let Some(Token::Command(name)) = self.next() else { return Err(STRAY) };
                            parts.push(UnitPart::Words(name));
                        }
                        _ => {}
                    }
                }
                // `N-m` and its like; a difference of units has no meaning.
                Some(Token::Sign('-'))
                    if !parts.is_empty() && matches!(self.peek_after(), Some(Token::Text(_))) =>
                {
                    parts.push(UnitPart::Times);
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
}
