//! A parsed answer back to text, one spelling for each tree: what `--explain` shows, and what the property tests read
//! again. Whatever is printed is read back as the same answer; brackets stand wherever the grammar could take
//! something else.

use super::ast::{Ast, Function, Interval, ListKind, Number, Relation};
use super::parse::is_greek;
use dashu_int::UBig;
use dashu_ratio::RBig;
use std::fmt::{self, Display, Formatter, Write};

impl Display for Ast {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Ast::Number(number) => f.write_str(&numeral(number)),
            Ast::Symbol(name) => f.write_str(&symbol(name)),
            Ast::Pi => f.write_str("\\pi"),
            Ast::Euler => f.write_str("e"),
            Ast::Imaginary => f.write_str("i"),
            Ast::Infinity => f.write_str("\\infty"),
            Ast::Sum(terms) => sum(f, terms),
            Ast::Product(factors) => joined(f, factors, " \\cdot ", factor),
            Ast::Negative(inner) => write!(f, "-{}", term(inner)),
            Ast::Quotient(above, below) => write!(f, "\\frac{{{above}}}{{{below}}}"),
            Ast::Power(base, exponent) => write!(f, "{}^{{{exponent}}}", atom(base)),
            Ast::Root(index, inner) if **index == Ast::integer(2) => write!(f, "\\sqrt{{{inner}}}"),
            Ast::Root(index, inner) => write!(f, "\\sqrt[{index}]{{{inner}}}"),
            Ast::Call(function, arguments) => call(f, function, arguments),
            Ast::Factorial(inner) => write!(f, "{}!", atom(inner)),
            Ast::PlusMinus(flipped, inner) => {
                write!(f, "{} {}", if *flipped { "\\mp" } else { "\\pm" }, term(inner))
            }
            Ast::Degrees(inner) => write!(f, "{}^{{\\circ}}", atom(inner)),
            Ast::Percent(inner) => write!(f, "{}\\%", atom(inner)),
            Ast::Quantity(inner, unit) => {
                let (scale, name) = unit.in_base_units();
                match scale == RBig::ONE {
                    true => write!(f, "{}\\text{{ {name}}}", factor(inner)),
                    false => write!(f, "{} \\cdot {}\\text{{ {name}}}", fraction(&scale), factor(inner)),
                }
            }
            Ast::Based(digits, base) if digits.bytes().all(|c| c.is_ascii_digit() || c == b'.') => {
                write!(f, "{digits}_{{{base}}}")
            }
            Ast::Based(digits, base) => write!(f, "\\text{{{digits}}}_{{{base}}}"),
            Ast::Tuple(items) if items.len() == 1 || items.iter().any(super::parse::is_infinite) => {
                enclosed(f, "\\langle ", items, " \\rangle")
            }
            Ast::Tuple(items) => enclosed(f, "(", items, ")"),
            Ast::Set(items) => enclosed(f, "\\{", items, "\\}"),
            Ast::List(items, kind) => joined(
                f,
                items,
                match kind {
                    ListKind::Comma => ", ",
                    ListKind::Or => " \\text{ or } ",
                    ListKind::Words => " \\text{ and } ",
                },
                item,
            ),
            Ast::Interval(interval) => interval.fmt(f),
            Ast::Union(parts) => joined(f, parts, " \\cup ", term),
            Ast::Matrix(rows) => {
                f.write_str("\\begin{pmatrix}")?;
                for (at, row) in rows.iter().enumerate() {
                    f.write_str(if at == 0 { " " } else { " \\\\ " })?;
                    joined(f, row, " & ", Ast::to_string)?;
                }
                f.write_str(" \\end{pmatrix}")
            }
            Ast::Relation(terms, relations) => {
                f.write_str(&item(&terms[0]))?;
                terms[1..].iter().zip(relations).try_for_each(|(term, relation)| {
                    write!(f, " {} {}", relation_sign(*relation), item(term))
                })
            }
            Ast::Ratio(parts, minutes) => {
                write!(f, "{}", parts[0])?;
                parts[1..].iter().try_for_each(|part| match part {
                    Ast::Number(number) if *minutes => write!(f, ":{:0>2}", numeral(number)),
                    part => write!(f, ":{part}"),
                })
            }
            Ast::Text(words) => write!(f, "\\text{{{words}}}"),
            Ast::Class(value, modulus) => write!(f, "{value} \\pmod{{{modulus}}}"),
            Ast::Cases(rows) => {
                f.write_str("\\begin{cases}")?;
                for (at, (value, condition)) in rows.iter().enumerate() {
                    write!(f, "{}{value} & {condition}", if at == 0 { " " } else { " \\\\ " })?;
                }
                f.write_str(" \\end{cases}")
            }
        }
    }
}

impl Display for Interval {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (open, close) =
            (if self.low_closed { '[' } else { '(' }, if self.high_closed { ']' } else { ')' });
        write!(f, "{open}{}, {}{close}", self.low, self.high)
    }
}

fn relation_sign(relation: Relation) -> &'static str {
    match relation {
        Relation::Equal => "=",
        Relation::NotEqual => "\\ne",
        Relation::Less => "<",
        Relation::LessEqual => "\\le",
        Relation::Greater => ">",
        Relation::GreaterEqual => "\\ge",
        Relation::Member => "\\in",
        Relation::Approximately => "\\approx",
    }
}

fn joined(f: &mut Formatter<'_>, items: &[Ast], between: &str, show: impl Fn(&Ast) -> String) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        f.write_str(&show(item))?;
    }
    Ok(())
}

fn enclosed(f: &mut Formatter<'_>, open: &str, items: &[Ast], close: &str) -> fmt::Result {
    f.write_str(open)?;
    joined(f, items, ", ", item)?;
    f.write_str(close)
}

/// An item of a list or a side of a relation: a list in it shows where it ends, and what stands before a ratio's colon is
/// no letter whose values a set is built of.
fn item(ast: &Ast) -> String {
    match ast {
        Ast::Ratio(..) => format!("({ast})"),
        Ast::List(items, _) => {
            format!("[{}]", items.iter().map(item).collect::<Vec<String>>().join(", "))
        }
        _ => ast.to_string(),
    }
}

fn sum(f: &mut Formatter<'_>, terms: &[Ast]) -> fmt::Result {
    for (at, part) in terms.iter().enumerate() {
        match part {
            Ast::Negative(inner) => write!(f, "{}{}", if at == 0 { "-" } else { " - " }, term(inner))?,
            Ast::PlusMinus(flipped, inner) => {
                write!(f, " {} {}", if *flipped { "\\mp" } else { "\\pm" }, term(inner))?;
            }
            part => write!(f, "{}{}", if at == 0 { "" } else { " + " }, term(part))?,
        }
    }
    Ok(())
}

/// Bracketed unless it can be a term of a sum.
fn term(ast: &Ast) -> String {
    match ast {
        Ast::Sum(_) | Ast::Negative(_) | Ast::PlusMinus(..) | Ast::Quantity(..) => format!("({ast})"),
        // Not that it means anything there.
        Ast::List(_, ListKind::Comma) => item(ast),
        Ast::List(..) | Ast::Relation(..) | Ast::Ratio(..) | Ast::Union(_) | Ast::Class(..) => {
            format!("{{{ast}}}")
        }
        _ => ast.to_string(),
    }
}

/// Bracketed unless it can be a factor.
fn factor(ast: &Ast) -> String {
    match ast {
        Ast::Product(_) => format!("({ast})"),
        Ast::Call(Function::Remainder, _) => format!("({ast})"),
        _ => term(ast),
    }
}

/// Bracketed unless nothing that follows can be taken for a part of it.
fn atom(ast: &Ast) -> String {
    match ast {
        Ast::Number(number) if !numeral(number).starts_with('\\') => ast.to_string(),
        Ast::Symbol(name) if name.chars().count() == 1 => ast.to_string(),
        Ast::Pi | Ast::Euler | Ast::Imaginary => ast.to_string(),
        Ast::List(..) | Ast::Relation(..) | Ast::Ratio(..) | Ast::Union(_) | Ast::Class(..) => term(ast),
        _ => format!("({ast})"),
    }
}

fn call(f: &mut Formatter<'_>, function: &Function, arguments: &[Ast]) -> fmt::Result {
    let name = match function {
        Function::Abs => return write!(f, "|({})|", arguments[0]),
        Function::Floor => return write!(f, "\\lfloor {} \\rfloor", arguments[0]),
        Function::Ceiling => return write!(f, "\\lceil {} \\rceil", arguments[0]),
        Function::Binomial => return write!(f, "\\binom{{{}}}{{{}}}", arguments[0], arguments[1]),
        Function::LogBase => return write!(f, "\\log_{{{}}}({})", arguments[0], arguments[1]),
        Function::Determinant => return write!(f, "\\det {}", arguments[0]),
        Function::Remainder => return write!(f, "{} \\bmod {}", factor(&arguments[0]), atom(&arguments[1])),
        Function::Named(name) => name,
        Function::Sin => "\\sin",
        Function::Cos => "\\cos",
        Function::Tan => "\\tan",
        Function::Cot => "\\cot",
        Function::Sec => "\\sec",
        Function::Csc => "\\csc",
        Function::ArcSin => "\\arcsin",
        Function::ArcCos => "\\arccos",
        Function::ArcTan => "\\arctan",
        Function::Sinh => "\\sinh",
        Function::Cosh => "\\cosh",
        Function::Tanh => "\\tanh",
        Function::Exp => "\\exp",
        Function::Ln => "\\ln",
        Function::Log => "\\log",
        Function::GreatestDivisor => "\\gcd",
        Function::LeastMultiple => "\\operatorname{lcm}",
        Function::Largest => "\\max",
        Function::Smallest => "\\min",
    };
    f.write_str(name)?;
    enclosed(f, "(", arguments, ")")
}

/// A number as it was written where that can be seen, else as a fraction.
fn numeral(number: &Number) -> String {
    let places = number.places as usize;
    let scaled = number.value.clone() * RBig::from(UBig::from(10_u8).pow(places));
    if !scaled.is_int() {
        return fraction(&number.value);
    }
    let digits = scaled.numerator().to_string();
    match places {
        0 => digits,
        _ => {
            let digits = format!("{digits:0>width$}", width = places + 1);
            let (whole, decimals) = digits.split_at(digits.len() - places);
            format!("{whole}.{decimals}")
        }
    }
}

fn fraction(value: &RBig) -> String {
    match value.is_int() {
        true => value.numerator().to_string(),
        false => format!("\\frac{{{}}}{{{}}}", value.numerator(), value.denominator()),
    }
}

/// `x`, `\alpha`, `x_{12}`, `f'`, `\overline{AB}`, `\frac{dy}{dx}`.
fn symbol(name: &str) -> String {
    if let Some((above, below)) = name.split_once('/') {
        let differential = |part: &str| part.strip_prefix('d').map_or_else(String::new, symbol);
        return format!("\\frac{{d {}}}{{d {}}}", differential(above), differential(below));
    }
    if let Some((letters, mark)) = name.split_once(' ') {
        return format!("\\{mark}{{{}}}", symbol(letters));
    }
    let (head, index) = name.split_once('_').unwrap_or((name, ""));
    let (bare, primes) = head.split_at(head.trim_end_matches('\'').len());
    let (index, late) = index.split_at(index.trim_end_matches('\'').len());
    let mut text = if is_greek(bare) { format!("\\{bare} ") } else { bare.to_owned() };
    text.push_str(primes);
    if !index.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(text, "_{{{index}}}");
    }
    text.push_str(late);
    text
}
