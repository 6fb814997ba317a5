//! Brackets of every kind: groups, tuples, intervals, sets, bars, floors.

use super::number::vulgar_fraction;
use super::{END, Parser, STRAY, is_infinite};
use crate::math::ast::{Ast, Function, Interval, ListKind};
use crate::math::budget::{Step, Stop};
use crate::math::lex::{Token, sign};

impl<'a> Parser<'a, '_> {
    pub(super) fn set(&mut self) -> Step<Ast> {
        self.at += 1;
        if self.peek() == Some(Token::SetClose) {
            self.at += 1;
            return Ok(Ast::Set(Vec::new()));
        }
        // `\left\{\begin{array}..\end{array}\right.`
        if let Some(Token::Begin(name)) = self.peek()
            && matches!(name, "array" | "aligned" | "matrix" | "gathered")
        {
            self.at += 1;
            let system = self.system(name)?;
            if self.peek() == Some(Token::SetClose) {
                self.at += 1;
            }
            return Ok(system);
        }
        // `{x | x > 3}` is what the condition says.
        if let Some(length) = self.set_builder() {
            self.at += length;
            let condition = self.list()?;
            let kind = matches!(condition, Ast::Relation(..) | Ast::List(_, ListKind::Or));
            return if kind && self.next() == Some(Token::SetClose) {
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

    /// How many tokens stand before the condition in `x | ..`, `x : ..`, `x \in \mathbb{R} | ..`.
    fn set_builder(&self) -> Option<usize> {
        let token = |after: usize| self.tokens.get(self.at + after).copied();
        let bar = |after: usize| matches!(token(after), Some(Token::Sign('|' | ':')));
        match (self.peek(), self.peek_after(), token(2)) {
            (Some(Token::Letter(_)), Some(Token::Sign('|' | ':')), _) => Some(2),
            (Some(Token::Letter(_)), Some(Token::Sign(sign::MEMBER)), Some(Token::Letter(sign::REALS))) => {
                bar(3).then_some(4)
            }
            _ => None,
        }
    }

    /// What starts with a bracket or another sign.
    pub(super) fn bracketed(&mut self, open: char) -> Step<Ast> {
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
                let built = self.set_builder().is_some();
                let bars = std::mem::take(&mut self.bars);
                let mut inner = self.list()?;
                self.bars = bars;
                // `{n \choose k}`
                if self.peek() == Some(Token::Command("choose")) && inner.is_value() {
                    self.at += 1;
                    let below = self.sum()?;
                    inner = Ast::Call(Function::Binomial, vec![inner, below]);
                }
                self.expect('}')?;
                match inner {
                    // `{x : 2, y}` is no set whose first member is a ratio.
                    Ast::List(_, ListKind::Comma) if built => {
                        Err(Stop::Unsupported("a set that is not a plain list"))
                    }
                    Ast::List(items, ListKind::Comma) => Ok(Ast::Set(items)),
                    one => Ok(one),
                }
            }
            '|' => {
                self.bars += 1;
                let inner = self.sum()?;
                self.bars -= 1;
                self.expect('|')?;
                let function =
                    if matches!(inner, Ast::Matrix(_)) { Function::Determinant } else { Function::Abs };
                Ok(Ast::Call(function, vec![inner]))
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
                if matches!(self.peek(), Some(Token::Word(word)) if word != "pi") {
                    return Err(Stop::Unsupported("a root without brackets over several letters"));
                }
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
            // `[x = 2, y = 4]`
            ('[', ']', Ast::List(items, ListKind::Comma))
                if items.iter().all(|item| matches!(item, Ast::Relation(..))) =>
            {
                Ok(Ast::List(items, ListKind::Comma))
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
}

pub(super) fn interval(mut items: Vec<Ast>, low_closed: bool, high_closed: bool) -> Step<Ast> {
    let (Some(high), Some(low)) = (items.pop(), items.pop()) else { return Err(END) };
    if !low.is_value() || !high.is_value() {
        return Err(Stop::Unsupported("an interval whose ends are not values"));
    }
    Ok(Ast::Interval(Box::new(Interval { low, high, low_closed, high_closed })))
}
