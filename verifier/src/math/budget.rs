//! Caps and fuel. Every loop of the checker is bounded by one of these numbers and by nothing else: no
//! timers, so a verdict does not depend on the machine or its load.

/// What one comparison may cost. All caps are checked before the work they bound is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Longest answer read, in bytes (a completion may be of any length; scanning it is linear).
    pub answer_bytes: usize,
    /// Most tokens in an answer.
    pub tokens: usize,
    /// Deepest nesting of brackets, fractions, roots, powers and function arguments.
    pub depth: u32,
    /// Most items in a list, tuple, set or union, and most cells in a matrix.
    pub items: usize,
    /// Longest run of digits in one number.
    pub digits: usize,
    /// Largest written power of ten, as in `2.5e300`.
    pub decimal_exponent: u32,
    /// Largest numerator or denominator that is held as an exact number, in bits; larger powers stay
    /// symbolic.
    pub bits: usize,
    /// Largest argument of a factorial or a binomial coefficient.
    pub factorial: u64,
    /// Largest integer power of a sum that is multiplied out.
    pub expand_power: u64,
    /// Most terms of one expanded sum.
    pub terms: usize,
    /// Steps (products of two terms, point evaluations of one term) of a whole comparison.
    pub fuel: u64,
}

impl Budget {
    /// The caps all profiles use.
    pub const DEFAULT: Budget = Budget {
        answer_bytes: 4096,
        tokens: 2048,
        depth: 48,
        items: 256,
        digits: 2048,
        decimal_exponent: 400,
        bits: 8192,
        factorial: 10_000,
        expand_power: 1024,
        terms: 2048,
        fuel: 30_000,
    };
}

/// Why a value could not be worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Outside what the checker understands; the text says what.
    Unsupported(&'static str),
    /// A cap of [`Budget`] was reached; the text says which.
    Limit(&'static str),
    /// The value does not exist: division by zero, 0^0, ln 0, infinity inside arithmetic.
    Undefined(&'static str),
}

pub(crate) type Step<T> = Result<T, Stop>;

/// The steps that are left.
#[derive(Debug)]
pub(crate) struct Fuel(u64);

impl Fuel {
    pub(crate) fn new(budget: &Budget) -> Fuel {
        Fuel(budget.fuel)
    }

    /// Takes `n` steps or stops.
    pub(crate) fn take(&mut self, n: u64) -> Step<()> {
        match self.0.checked_sub(n) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(Stop::Limit("steps"))
            }
        }
    }
}
