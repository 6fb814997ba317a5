//! What an answer is, before any mathematics: the tree the parser builds.

use super::units::Unit;
use dashu_ratio::RBig;
use std::sync::Arc;

/// A parsed answer or part of one. Lists and sums hold all their members in one node, so depth is real
/// nesting and recursion over the tree is bounded by `Budget::depth`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ast {
    Number(Number),
    /// A variable: a letter, a Greek letter by name, with index and primes (`x_1`, `f'`).
    Symbol(Arc<str>),
    Pi,
    Euler,
    Imaginary,
    Infinity,
    Sum(Vec<Ast>),
    Product(Vec<Ast>),
    Negative(Box<Ast>),
    Quotient(Box<Ast>, Box<Ast>),
    Power(Box<Ast>, Box<Ast>),
    /// `Root(n, x)`: the n-th root.
    Root(Box<Ast>, Box<Ast>),
    Call(Function, Vec<Ast>),
    Factorial(Box<Ast>),
    /// `PlusMinus(flipped, x)`: the term +-x, or -+x where flipped.
    PlusMinus(bool, Box<Ast>),
    /// x degrees: a plain number outside of functions, an angle inside of them.
    Degrees(Box<Ast>),
    Percent(Box<Ast>),
    Quantity(Box<Ast>, Unit),
    /// A numeral with its base as a subscript, digits as written.
    Based(String, u32),

    Tuple(Vec<Ast>),
    Set(Vec<Ast>),
    List(Vec<Ast>, ListKind),
    Interval(Box<Interval>),
    Union(Vec<Ast>),
    Matrix(Vec<Vec<Ast>>),
    /// `terms[0] relations[0] terms[1] ...`
    Relation(Vec<Ast>, Vec<Relation>),
    /// `a : b`, a ratio or a time; the flag says that a part is written like minutes (two digits).
    Ratio(Vec<Ast>, bool),
    /// Words, as written.
    Text(String),
    /// `Class(a, m)`: all that is a modulo m.
    Class(Box<Ast>, Box<Ast>),
    /// A definition by cases: value and condition of each.
    Cases(Vec<(Ast, Ast)>),
}

/// A number and how it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Number {
    pub(crate) value: RBig,
    /// Digits after the decimal point.
    pub(crate) places: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: Ast,
    pub(crate) high: Ast,
    pub(crate) low_closed: bool,
    pub(crate) high_closed: bool,
}

/// How the members of a list were joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// Commas or semicolons only.
    Comma,
    /// Commas and "or" between alternatives, or the two values of a plus-minus.
    Or,
    /// With "and", or mixed.
    Words,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Member,
    Approximately,
}

/// Functions of one or two arguments that stay visible in the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Function {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    ArcSin,
    ArcCos,
    ArcTan,
    Sinh,
    Cosh,
    Tanh,
    Exp,
    Ln,
    /// `\log` without a base: natural in some books, decimal in others.
    Log,
    /// `LogBase(base, x)`
    LogBase,
    Abs,
    Floor,
    Ceiling,
    Binomial,
    /// Of a matrix.
    Determinant,
    GreatestDivisor,
    LeastMultiple,
    Largest,
    Smallest,
    /// `Remainder(a, m)`: a mod m.
    Remainder,
    /// `f(x)` with a function that has only a name.
    Named(Arc<str>),
}

impl Function {
    /// Functions an answer is expected to have worked out; a gold may leave them.
    pub(crate) fn is_task(&self) -> bool {
        use Function::*;
        matches!(self, Determinant | GreatestDivisor | LeastMultiple | Largest | Smallest | Remainder)
    }
}

impl Ast {
    pub(crate) fn integer(value: i64) -> Ast {
        Ast::Number(Number { value: RBig::from(value), places: 0 })
    }

    /// Whether this is one value and not a collection, a relation or words.
    pub(crate) fn is_value(&self) -> bool {
        !matches!(
            self,
            Ast::Tuple(_)
                | Ast::Set(_)
                | Ast::List(..)
                | Ast::Interval(_)
                | Ast::Union(_)
                | Ast::Matrix(_)
                | Ast::Relation(..)
                | Ast::Ratio(..)
                | Ast::Text(_)
                | Ast::Class(..)
                | Ast::Cases(_)
        )
    }

    /// The direct parts, for walks over the whole tree.
    pub(crate) fn parts(&self) -> Vec<&Ast> {
        match self {
            Ast::Sum(parts)
            | Ast::Product(parts)
            | Ast::Call(_, parts)
            | Ast::Tuple(parts)
            | Ast::Set(parts)
            | Ast::List(parts, _)
            | Ast::Union(parts)
            | Ast::Relation(parts, _)
            | Ast::Ratio(parts, _) => parts.iter().collect(),
            Ast::Negative(part)
            | Ast::Factorial(part)
            | Ast::PlusMinus(_, part)
            | Ast::Degrees(part)
            | Ast::Percent(part)
            | Ast::Quantity(part, _) => vec![part],
            Ast::Quotient(a, b) | Ast::Power(a, b) | Ast::Root(a, b) | Ast::Class(a, b) => vec![a, b],
            Ast::Cases(rows) => rows.iter().flat_map(|(value, condition)| [value, condition]).collect(),
            Ast::Interval(interval) => vec![&interval.low, &interval.high],
            Ast::Matrix(rows) => rows.iter().flatten().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether some node of the tree satisfies `wanted`.
    pub(crate) fn any(&self, wanted: &dyn Fn(&Ast) -> bool) -> bool {
        wanted(self) || self.parts().into_iter().any(|part| part.any(wanted))
    }
}
