//! Arithmetic with matrices, cell by cell: sums, scaling, products that fit, small powers, transposes. What comes out is
//! one matrix whose cells are expressions, so that two spellings of one vector meet in `collection`.
//!
//! Proven: nothing by itself; each step is the definition of the operation. Inverses and determinants of what the
//! answer leaves to be worked out are not worked out here.

use crate::math::ast::{Ast, Function};
use crate::math::budget::{Budget, Stop};

type Rows = Vec<Vec<Ast>>;

const MISFIT: Stop = Stop::Unsupported("matrices that do not fit together");

/// Whether arithmetic with a matrix is left to be done.
pub(super) fn is_unfinished(ast: &Ast) -> bool {
    ast.is_value() && has_matrix(ast)
}

/// Whether a matrix stands outside of determinants, which are numbers.
fn has_matrix(ast: &Ast) -> bool {
    match ast {
        Ast::Matrix(_) => true,
        Ast::Call(Function::Determinant, _) => false,
        _ => ast.parts().into_iter().any(has_matrix),
    }
}

/// The one matrix an expression with matrices stands for.
pub(super) fn finished(ast: &Ast) -> Result<Ast, Stop> {
    match value(ast)? {
        Part::Matrix(rows) => Ok(Ast::Matrix(rows)),
        Part::Scalar(value) => Ok(value),
    }
}

enum Part {
    Matrix(Rows),
    Scalar(Ast),
}

fn value(ast: &Ast) -> Result<Part, Stop> {
    if !has_matrix(ast) {
        return if ast.is_value() { Ok(Part::Scalar(ast.clone())) } else { Err(MISFIT) };
    }
    match ast {
        Ast::Matrix(rows) => Ok(Part::Matrix(rows.clone())),
        Ast::Negative(inner) => match value(inner)? {
            Part::Matrix(rows) => Ok(Part::Matrix(cells(&rows, |cell| Ast::Negative(Box::new(cell))))),
            Part::Scalar(scalar) => Ok(Part::Scalar(Ast::Negative(Box::new(scalar)))),
        },
        Ast::Sum(terms) => {
            terms.iter().skip(1).try_fold(value(&terms[0])?, |sum, term| add(sum, value(term)?))
        }
        Ast::Product(factors) => factors
            .iter()
            .skip(1)
            .try_fold(value(&factors[0])?, |product, factor| times(product, value(factor)?)),
        Ast::Quotient(above, below) => match (value(above)?, value(below)?) {
            (Part::Matrix(rows), Part::Scalar(below)) => {
                Ok(Part::Matrix(cells(&rows, |cell| Ast::Quotient(Box::new(cell), Box::new(below.clone())))))
            }
            _ => Err(MISFIT),
        },
        Ast::Power(base, exponent) => power(value(base)?, exponent),
        _ => Err(Stop::Unsupported("a matrix inside an expression")),
    }
}

fn cells(rows: &Rows, change: impl Fn(Ast) -> Ast) -> Rows {
    rows.iter().map(|row| row.iter().cloned().map(&change).collect()).collect()
}

fn add(a: Part, b: Part) -> Result<Part, Stop> {
    let (Part::Matrix(a), Part::Matrix(b)) = (a, b) else { return Err(MISFIT) };
    if a.len() != b.len() || a[0].len() != b[0].len() {
        return Err(MISFIT);
    }
    let row =
        |(a, b): (Vec<Ast>, Vec<Ast>)| a.into_iter().zip(b).map(|(a, b)| Ast::Sum(vec![a, b])).collect();
    Ok(Part::Matrix(a.into_iter().zip(b).map(row).collect()))
}

fn times(a: Part, b: Part) -> Result<Part, Stop> {
    let scaled = |rows: &Rows, by: &Ast| cells(rows, |cell| Ast::Product(vec![by.clone(), cell]));
    match (a, b) {
        (Part::Scalar(a), Part::Scalar(b)) => Ok(Part::Scalar(Ast::Product(vec![a, b]))),
        (Part::Scalar(by), Part::Matrix(rows)) | (Part::Matrix(rows), Part::Scalar(by)) => {
            Ok(Part::Matrix(scaled(&rows, &by)))
        }
        (Part::Matrix(a), Part::Matrix(b)) => {
            if a[0].len() != b.len() {
                return Err(MISFIT);
            }
            if a.len() * b.len() * b[0].len() > Budget::DEFAULT.items {
                return Err(Stop::Limit("cells of a matrix"));
            }
            let cell = |row: &Vec<Ast>, column: usize| {
                let products =
                    row.iter().zip(&b).map(|(x, y)| Ast::Product(vec![x.clone(), y[column].clone()]));
                Ast::Sum(products.collect())
            };
            let row = |row: &Vec<Ast>| (0..b[0].len()).map(|column| cell(row, column)).collect();
            Ok(Part::Matrix(a.iter().map(row).collect()))
        }
    }
}

fn power(base: Part, exponent: &Ast) -> Result<Part, Stop> {
    let Part::Matrix(rows) = base else { return Err(MISFIT) };
    match exponent {
        Ast::Symbol(name) if &**name == "T" || &**name == "top" => {
            let column = |at: usize| rows.iter().map(|row| row[at].clone()).collect();
            Ok(Part::Matrix((0..rows[0].len()).map(column).collect()))
        }
        // Cells grow with each product, so only squares and cubes are worked out.
        exponent if *exponent == Ast::integer(2) => times(Part::Matrix(rows.clone()), Part::Matrix(rows)),
        exponent if *exponent == Ast::integer(3) => {
            let square = times(Part::Matrix(rows.clone()), Part::Matrix(rows.clone()))?;
            times(square, Part::Matrix(rows))
        }
        _ => Err(Stop::Unsupported("a power of a matrix")),
    }
}
