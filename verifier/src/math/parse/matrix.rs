//! LaTeX environments: matrices and systems of equations.

use super::{END, Parser};
use crate::math::ast::{Ast, ListKind};
use crate::math::budget::{Step, Stop};
use crate::math::lex::Token;

impl<'a> Parser<'a, '_> {
    pub(super) fn matrix(&mut self, name: &str) -> Step<Ast> {
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
}
