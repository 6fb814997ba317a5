//! LaTeX environments: matrices and systems of equations.

use super::{END, Parser};
use crate::math::ast::{Ast, Function, ListKind};
use crate::math::budget::{Step, Stop};
use crate::math::lex::Token;

impl<'a> Parser<'a, '_> {
    pub(super) fn matrix(&mut self, name: &str) -> Step<Ast> {
        self.at += 1;
        match name {
            "pmatrix" | "bmatrix" | "matrix" | "array" | "Bmatrix" | "smallmatrix" | "vmatrix" => {}
            "cases" | "aligned" | "align" | "gathered" => return self.system(name),
            _ => return Err(Stop::Unsupported("this LaTeX environment")),
        }
        let mut rows = vec![Vec::new()];
        let (mut cells, mut signs) = (0, 0);
        let gap = Stop::Unsupported("a matrix with an empty cell");
        loop {
            match self.peek() {
                Some(Token::End(end)) if end == name => {
                    self.at += 1;
                    break;
                }
                Some(Token::Row) => {
                    self.at += 1;
                    rows.push(Vec::new());
                    signs = 0;
                }
                Some(Token::Sign('&')) => {
                    self.at += 1;
                    signs += 1;
                    if rows.last().is_none_or(|row| row.len() != signs) {
                        return Err(gap);
                    }
                }
                None => return Err(END),
                _ => {
                    let cell = self.sum()?;
                    cells += 1;
                    if cells > self.budget.items {
                        return Err(Stop::Limit("cells of a matrix"));
                    }
                    match rows.last_mut() {
                        Some(row) if row.len() == signs => row.push(cell),
                        _ => return Err(gap),
                    }
                }
            }
        }
        rows.retain(|row| !row.is_empty());
        let width = rows.first().map_or(0, Vec::len);
        if width == 0 || rows.iter().any(|row| row.len() != width) {
            return Err(Stop::Unsupported("a matrix with rows of different length"));
        }
        Ok(if name == "vmatrix" {
            Ast::Call(Function::Determinant, vec![Ast::Matrix(rows)])
        } else {
            Ast::Matrix(rows)
        })
    }

    /// Equations below one another, or a definition by cases.
    pub(super) fn system(&mut self, name: &str) -> Step<Ast> {
        let (mut equations, mut cases) = (Vec::new(), Vec::new());
        loop {
            match self.peek() {
                Some(Token::End(end)) if end == name => {
                    self.at += 1;
                    break;
                }
                Some(Token::Row | Token::Sign('&' | ',' | ';' | '.')) => self.at += 1,
                None => return Err(END),
                _ => match self.relation()? {
                    equation @ Ast::Relation(..) => equations.push(equation),
                    value => cases.push((value, self.condition()?)),
                },
            }
            if equations.len() + cases.len() > self.budget.items {
                return Err(Stop::Limit("rows"));
            }
        }
        match (equations.is_empty(), cases.is_empty()) {
            (false, true) if equations.len() == 1 => Ok(equations.swap_remove(0)),
            (false, true) => Ok(Ast::List(equations, ListKind::Words)),
            (true, false) => Ok(Ast::Cases(cases)),
            _ => Err(Stop::Unsupported("a definition by cases")),
        }
    }

    /// The second column of a definition by cases: `& \text{if } x > 0`, `& \text{otherwise}`.
    fn condition(&mut self) -> Step<Ast> {
        while let Some(Token::Sign('&' | ',')) = self.peek() {
            self.at += 1;
        }
        if let Some(Token::Text(words) | Token::Word(words)) = self.peek() {
            match words.trim_matches([' ', '~', ',']) {
                "if" | "for" | "when" | "where" | "" => self.at += 1,
                "otherwise" | "else" => {
                    self.at += 1;
                    return Ok(Ast::Text("otherwise".to_owned()));
                }
                _ => return Err(Stop::Unsupported("a definition by cases")),
            }
        }
        self.eat('&');
        match self.list()? {
            condition @ (Ast::Relation(..) | Ast::List(..)) => Ok(condition),
            _ => Err(Stop::Unsupported("a definition by cases")),
        }
    }
}
