//! Caps and fuel. Every loop of the checker is bounded by one of these numbers and by nothing else: no
//! timers, so a verdict does not depend on the machine or its load.

use dashu_int::ops::BitTest;
use dashu_ratio::RBig;

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
    /// Steps of a whole comparison, a microsecond of work each or less in the dev profile: a product of two terms is
    /// one; long numbers and big floats cost by their size.
    pub fuel: u64,
    /// Steps of reading a gold, once for all comparisons with it.
    pub reading: u64,
    /// Steps of each last resort of a comparison: the identity test modulo primes, and domains.
    pub reserve: u64,
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
        fuel: 8000,
        reading: 3000,
        reserve: 1000,
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
#[derive(Debug, Default)]
pub(crate) struct Fuel {
    left: u64,
    spent: u64,
}

impl Fuel {
    pub(crate) fn of(steps: u64) -> Fuel {
        Fuel { left: steps, spent: 0 }
    }

    /// Takes `n` steps or stops.
    pub(crate) fn take(&mut self, n: u64) -> Step<()> {
        let taken = n.min(self.left);
        self.left -= taken;
        self.spent += taken;
        if taken == n { Ok(()) } else { Err(Stop::Limit("steps")) }
    }

    pub(crate) fn spent(&self) -> u64 {
        self.spent
    }
}

/// All the steps of grading one prediction, also where the gold has several spellings and the answer many items.
#[derive(Debug)]
pub(crate) struct Work {
    /// Canonical forms and intervals.
    pub(crate) main: Fuel,
    /// The identity test.
    pub(crate) identity: Fuel,
    /// Where both sides are defined.
    pub(crate) domains: Fuel,
}

impl Work {
    pub(crate) fn new(budget: &Budget) -> Work {
        let reserve = || Fuel::of(budget.reserve);
        Work { main: Fuel::of(budget.fuel), identity: reserve(), domains: reserve() }
    }

    pub(crate) fn spent(&self) -> u64 {
        self.main.spent() + self.identity.spent() + self.domains.spent()
    }
}

/// The machine words of an exact number, numerator and denominator.
pub(crate) fn words(value: &RBig) -> usize {
    (value.numerator().bit_len() + value.denominator().bit_len()) / 64
}

/// What one operation on two exact numbers of so many words costs, over the one step of any operation: nothing where
/// they fit a few machine words, 256 steps for two fractions of 8,192 bits.
pub(crate) fn size_cost(words: usize, other: usize) -> u64 {
    (words * other) as u64 / 256
}
